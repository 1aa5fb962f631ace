#include "tests/bench/placement/durable.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "claw/node/v1/image.grpc.pb.h"
#include "claw/node/v1/placement.grpc.pb.h"
#include "claw/node/v1/tenant.grpc.pb.h"
#include "tests/bench/agent_process.h"
#include "tests/bench/placement/etcd.grpc.pb.h"
#include "tests/support/busybox_root.h"
#include "tests/support/temp_dir.h"

namespace claw::bench {
namespace {

namespace fs = std::filesystem;
namespace pb = claw::node::v1;

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "benchmark: %s\n", why.c_str());
  std::exit(1);
}

void Check(const grpc::Status& status, const char* what) {
  if (!status.ok()) Die(StrCat(what, ": ", status.error_message()));
}

// One change of one caller, again and again; answers once it is durable.
using Change = std::function<void(int caller, int64_t turn)>;

double ChangesASecond(int callers, int seconds, const Change& change) {
  std::atomic<int64_t> done{0};
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  const auto began = std::chrono::steady_clock::now();
  for (int caller = 0; caller < callers; ++caller) {
    threads.emplace_back([&, caller] {
      for (int64_t turn = 0; !over; ++turn) {
        change(caller, turn);
        ++done;
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  over = true;
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  return static_cast<double>(done) / took.count();
}

// Each caller reserves a place and releases it in turn, so that memory is never what stops it.
class Places {
 public:
  Places(const fs::path& bin, const fs::path& dir)
      : agent_(bin, dir, "[pressure]\nrefuse_percent = 100\nevict_percent = 100\n"),
        places_(pb::PlacementService::NewStub(agent_.channel())) {
    grpc::ClientContext made;
    pb::CreateTenantRequest tenant;
    pb::Tenant created;
    tenant.set_tenant_id("house");
    tenant.set_trust(pb::TRUST_TRUSTED);
    Check(pb::TenantService::NewStub(agent_.channel())->CreateTenant(&made, tenant, &created),
          "CreateTenant");
    test::MakeBusyboxRoot(dir / "image");
    const auto images = pb::ImageService::NewStub(agent_.channel());
    grpc::ClientContext imported;
    pb::ImportImageRequest image;
    image.set_source("rootfs:" + (dir / "image").string());
    image.set_reference("bench");
    const auto reader = images->ImportImage(&imported, image);
    for (pb::ImageProgress progress; reader->Read(&progress);) {
    }
    Check(reader->Finish(), "ImportImage");
  }

  void Turn(int caller, int64_t turn) {
    if (turn % 2 == 0) return Reserve(caller);
    grpc::ClientContext context;
    pb::ReleaseRequest request;
    google::protobuf::Empty empty;
    {
      const std::lock_guard lock(mutex_);
      request.set_name(held_[caller]);
    }
    request.set_request_id(NextId());
    Check(places_->Release(&context, request, &empty), "Release");
  }

  // What callers that were stopped after a reservation still hold.
  void ReleaseAll() {
    grpc::ClientContext listed;
    pb::ListReservationsResponse held;
    pb::ListReservationsRequest all;
    all.set_page_size(1000);
    Check(places_->ListReservations(&listed, all, &held), "ListReservations");
    for (const pb::Reservation& one : held.reservations()) {
      grpc::ClientContext context;
      pb::ReleaseRequest request;
      google::protobuf::Empty empty;
      request.set_name(one.name());
      Check(places_->Release(&context, request, &empty), "Release");
    }
  }

 private:
  void Reserve(int caller) {
    grpc::ClientContext context;
    pb::ReserveRequest request;
    pb::Reservation reservation;
    request.mutable_spec()->set_tenant("tenants/house");
    request.mutable_spec()->set_image("bench");
    request.mutable_spec()->add_command("/bin/true");
    request.mutable_spec()->set_workload_bytes(32 << 20);
    request.set_request_id(NextId());
    Check(places_->Reserve(&context, request, &reservation), "Reserve");
    const std::lock_guard lock(mutex_);
    held_[caller] = reservation.name();
  }
  std::string NextId() { return StrCat("bench-", ++requests_); }

  AgentProcess agent_;
  std::unique_ptr<pb::PlacementService::Stub> places_;
  std::mutex mutex_;
  std::map<int, std::string> held_;
  std::atomic<int64_t> requests_{0};
};

class Etcd {
 public:
  explicit Etcd(const fs::path& dir) {
    ProcessSpec spec;
    spec.argv = {"etcd",
                 StrCat("--data-dir=", (dir / "etcd").string()),
                 StrCat("--listen-client-urls=http://127.0.0.1:", kPort),
                 StrCat("--advertise-client-urls=http://127.0.0.1:", kPort),
                 StrCat("--listen-peer-urls=http://127.0.0.1:", kPort + 1),
                 StrCat("--initial-advertise-peer-urls=http://127.0.0.1:", kPort + 1),
                 StrCat("--initial-cluster=default=http://127.0.0.1:", kPort + 1),
                 "--log-level=error"};
    auto started = Spawn(spec);
    if (!started.ok()) Die(ToLogString(started.status()));
    process_ = *std::move(started);
    channel_ = grpc::CreateChannel(StrCat("127.0.0.1:", kPort), grpc::InsecureChannelCredentials());
    keys_ = etcdserverpb::KV::NewStub(channel_);
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    etcdserverpb::PutRequest first;
    etcdserverpb::PutResponse answer;
    first.set_key("first");
    Check(keys_->Put(&context, first, &answer), "etcd does not come up");
  }
  ~Etcd() {
    process_.Signal(SIGKILL).IgnoreError();
    process_.Wait().IgnoreError();
  }
  Etcd(const Etcd&) = delete;
  Etcd& operator=(const Etcd&) = delete;

  void Turn(int caller, int64_t turn) {
    grpc::ClientContext context;
    etcdserverpb::PutRequest request;
    etcdserverpb::PutResponse answer;
    request.set_key(StrCat("reservations/", caller, "/", turn % 2));
    request.set_value(std::string(1024, 'x'));  // about what a reservation's record takes
    Check(keys_->Put(&context, request, &answer), "Put");
  }

 private:
  static constexpr int kPort = 42379;
  Process process_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<etcdserverpb::KV::Stub> keys_;
};

// One row, one commit; whoever comes meanwhile waits, as they do in SQLite.
class Rows {
 public:
  explicit Rows(const fs::path& dir)
      : db_((dir / "rows.db").string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE) {
    db_.exec(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE rows (key TEXT PRIMARY KEY, value TEXT)");
  }
  void Turn(int caller, int64_t turn) {
    const std::lock_guard lock(mutex_);
    SQLite::Statement insert(db_, "INSERT OR REPLACE INTO rows VALUES (?, ?)");
    insert.bind(1, StrCat("reservations/", caller, "/", turn % 2));
    insert.bind(2, std::string(1024, 'x'));
    insert.exec();
  }

 private:
  std::mutex mutex_;
  SQLite::Database db_;
};

}  // namespace

std::vector<Row> MeasureDurable(const DurableSettings& settings) {
  const test::TempDir dir;
  Places places(settings.bin, dir.path() / "clawlet");
  Etcd etcd(dir.path());
  Rows rows(dir.path());
  std::vector<Row> table;
  for (const int callers : settings.callers) {
    const std::string group = StrCat("durable changes, ", callers, " callers");
    std::fprintf(stderr, "… %s\n", group.c_str());
    std::map<std::string, std::vector<double>> samples;
    for (int round = 0; round < settings.rounds; ++round) {
      const auto measure = [&](const std::string& who, const Change& change) {
        samples[who].push_back(ChangesASecond(callers, settings.seconds, change));
      };
      measure("etcd put", [&](int caller, int64_t turn) { etcd.Turn(caller, turn); });
      measure("clawlet reserve, release",
              [&](int caller, int64_t turn) { places.Turn(caller, turn); });
      places.ReleaseAll();
      measure("SQLite, a row a commit", [&](int caller, int64_t turn) { rows.Turn(caller, turn); });
    }
    for (const char* who : {"etcd put", "clawlet reserve, release", "SQLite, a row a commit"}) {
      table.push_back({.group = group, .who = who, .unit = "1/s", .value = SpreadOf(samples[who])});
    }
  }
  Compare(table);
  return table;
}

}  // namespace claw::bench
