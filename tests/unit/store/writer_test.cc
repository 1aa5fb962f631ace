#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <latch>
#include <stdexcept>
#include <thread>

#include "tests/unit/store/fixture.h"

namespace claw::store::testing {
namespace {

// Keeps the writer thread busy until it is let go, so that what is written meanwhile forms one
// group.
class Plug {
 public:
  explicit Plug(Store& store) {
    store.Write(
        [this](Transaction&) {
          running_.set_value();
          released_.get_future().wait();
          return absl::OkStatus();
        },
        [this](const Status&) { done_.set_value(); });
    running_.get_future().wait();
  }
  void Release() {
    released_.set_value();
    done_.get_future().wait();
  }

 private:
  std::promise<void> running_{};
  std::promise<void> released_{};
  std::promise<void> done_{};
};

auto PutTenantNamed(const std::string& name) {
  return [name](Transaction& transaction) { return transaction.PutTenant(MakeTenant(name)); };
}

TEST_CASE("writes that wait together share one commit, and a failed one takes back only itself") {
  const TempFolder folder;
  constexpr int kWrites = 50;
  std::vector<Status> answers(kWrites, absl::UnknownError("no answer"));
  {
    const auto store = MustOpen(folder.database());
    Plug plug(*store);
    std::latch answered(kWrites);
    for (int i = 0; i < kWrites; ++i) {
      store->Write(
          [i](Transaction& transaction) -> Status {
            RETURN_IF_ERROR(transaction.PutTenant(MakeTenant(StrCat("t", i))));
            if (i % 10 == 3) return FailedPrecondition("number ", i, " fails");
            if (i % 10 == 7) throw std::runtime_error("number throws");
            return absl::OkStatus();
          },
          [&, i](Status status) {
            answers[static_cast<size_t>(i)] = std::move(status);
            answered.count_down();
          });
    }
    plug.Release();
    answered.wait();
    CHECK(store->counters().commits == 2);  // the plug's, and one for all the others
    CHECK(store->counters().writes == 1 + 40);
  }
  std::vector<std::string> expected;
  for (int i = 0; i < kWrites; ++i) {
    const StatusCode code = i % 10 == 3   ? StatusCode::kFailedPrecondition
                            : i % 10 == 7 ? StatusCode::kInternal
                                          : StatusCode::kOk;
    CHECK(answers[static_cast<size_t>(i)].code() == code);
    if (code == StatusCode::kOk) expected.push_back(StrCat("t", i));
  }
  std::vector<std::string> names;
  for (const Tenant& tenant : MustOpen(folder.database())->TakeSnapshot().tenants) {
    names.push_back(tenant.name);
  }
  CHECK(names == expected);
}

TEST_CASE("a full queue answers at once and on the caller's thread") {
  const TempFolder folder;
  auto store = Store::Open({.path = folder.database(), .max_queued_writes = 2}).value();
  Plug plug(*store);
  std::latch answered(2);
  for (const char* name : {"a", "b"}) {
    store->Write(PutTenantNamed(name), [&](const Status&) { answered.count_down(); });
  }
  Status refused;
  std::thread::id refused_on;
  store->Write(PutTenantNamed("c"), [&](Status status) {
    refused = std::move(status);
    refused_on = std::this_thread::get_id();
  });
  CHECK(refused.code() == StatusCode::kUnavailable);
  CHECK(GetErrorDetail(refused)->retry_after.has_value());
  CHECK(refused_on == std::this_thread::get_id());
  plug.Release();
  answered.wait();
  CHECK(WriteAndWait(*store, PutTenantNamed("d")).ok());
  store.reset();
  CHECK(MustOpen(folder.database())->TakeSnapshot().tenants.size() == 3);
}

TEST_CASE("closing the store waits for the writes, also for those that an answer queues") {
  const TempFolder folder;
  std::vector<std::string> order;  // only the writer thread touches it before the store is gone
  {
    const auto store = MustOpen(folder.database());
    Plug plug(*store);
    for (const char* name : {"a", "b", "c"}) {
      store->Write(PutTenantNamed(name), [&, name](const Status& status) {
        if (status.ok()) order.emplace_back(name);
        if (order.size() != 1) return;
        store->Write(PutTenantNamed("late"), [&](const Status& late) {
          if (late.ok()) order.emplace_back("late");
        });
      });
    }
    plug.Release();
  }
  CHECK(order == std::vector<std::string>{"a", "b", "c", "late"});
  CHECK(MustOpen(folder.database())->TakeSnapshot().tenants.size() == 4);
}

TEST_CASE("many threads write and read at once") {
  const TempFolder folder;
  constexpr int kThreads = 4;
  constexpr int kWrites = 50;
  std::atomic<int64_t> revision{0};
  std::atomic<int> acknowledged{0};
  {
    const auto store = MustOpen(folder.database());
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kWrites; ++i) {
          const Status status = WriteAndWait(*store, [&](Transaction& transaction) -> Status {
            RETURN_IF_ERROR(transaction.PutTenant(MakeTenant(StrCat("t", t, "-", i))));
            return transaction.AppendEvent(MakeEvent(++revision));
          });
          if (status.ok() && store->ReadEvents({.limit = 1000}).ok()) ++acknowledged;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(store->counters().writes == kThreads * kWrites);
    CHECK(store->counters().commits <= kThreads * kWrites);
    CHECK(store->ReadEvents({.limit = 1000})->size() == kThreads * kWrites);
  }
  CHECK(acknowledged == kThreads * kWrites);
  const Snapshot snapshot = MustOpen(folder.database())->TakeSnapshot();
  CHECK(snapshot.tenants.size() == kThreads * kWrites);
  CHECK(snapshot.last_revision == kThreads * kWrites);
}

}  // namespace
}  // namespace claw::store::testing
