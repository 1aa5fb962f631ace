#include <catch2/catch.hpp>

#include "tests/unit/store/fixture.h"

namespace claw::store::testing {
namespace {

Status Append(Store& store, const std::vector<Event>& events) {
  return WriteAndWait(store, [&](Transaction& transaction) {
    for (const Event& event : events) RETURN_IF_ERROR(transaction.AppendEvent(event));
    return absl::OkStatus();
  });
}

std::vector<int64_t> Revisions(Store& store, const EventQuery& query) {
  std::vector<int64_t> revisions;
  const std::vector<Event> events = store.ReadEvents(query).value();
  for (const Event& event : events) revisions.push_back(event.revision);
  return revisions;
}

TEST_CASE("events are read in order, after a revision, by subject and up to a limit") {
  const TempFolder folder;
  const auto store = MustOpen(folder.database());
  REQUIRE(Append(*store, {MakeEvent(2, "node"), MakeEvent(5), MakeEvent(9, "node"), MakeEvent(10)})
              .ok());
  CHECK(Revisions(*store, {}) == std::vector<int64_t>{2, 5, 9, 10});
  CHECK(Revisions(*store, {.after_revision = 5}) == std::vector<int64_t>{9, 10});
  CHECK(Revisions(*store, {.after_revision = 99}).empty());
  CHECK(Revisions(*store, {.subject = "node"}) == std::vector<int64_t>{2, 9});
  CHECK(Revisions(*store, {.after_revision = 2, .subject = "node"}) == std::vector<int64_t>{9});
  CHECK(Revisions(*store, {.limit = 3}) == std::vector<int64_t>{2, 5, 9});
  CHECK(store->ReadEvents({.after_revision = 9})->front() == MakeEvent(10));
  CHECK(store->ReadEvents({.limit = 0}).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("an event's revision is positive and used once") {
  const TempFolder folder;
  const auto store = MustOpen(folder.database());
  REQUIRE(Append(*store, {MakeEvent(3)}).ok());
  CHECK(Append(*store, {MakeEvent(3)}).code() == StatusCode::kAlreadyExists);
  CHECK(Append(*store, {MakeEvent(0)}).code() == StatusCode::kInvalidArgument);
  CHECK(Revisions(*store, {}) == std::vector<int64_t>{3});
}

TEST_CASE("reading from before what was trimmed is refused") {
  const TempFolder folder;
  {
    const auto store = MustOpen(folder.database());
    REQUIRE(Append(*store, {MakeEvent(1), MakeEvent(4), MakeEvent(6), MakeEvent(7)}).ok());
    const auto trim = [](Transaction& transaction) { return transaction.TrimEvents(2); };
    REQUIRE(WriteAndWait(*store, trim).ok());
    REQUIRE(WriteAndWait(*store, trim).ok());  // nothing more to do
  }
  const auto store = MustOpen(folder.database());
  const Status refused = store->ReadEvents({.after_revision = 3}).status();
  CHECK(refused.code() == StatusCode::kOutOfRange);
  CHECK(ReasonOf(refused) == "REVISION_COMPACTED");
  CHECK(Revisions(*store, {.after_revision = 4}) == std::vector<int64_t>{6, 7});
}

TEST_CASE("trimming every event does not take the last revision back") {
  const TempFolder folder;
  {
    const auto store = MustOpen(folder.database());
    REQUIRE(Append(*store, {MakeEvent(8), MakeEvent(12)}).ok());
    REQUIRE(WriteAndWait(*store, [](Transaction& transaction) {
              return transaction.TrimEvents(0);
            }).ok());
    CHECK_FALSE(WriteAndWait(*store, [](Transaction& transaction) {
                  return transaction.TrimEvents(-1);
                }).ok());
  }
  const auto store = MustOpen(folder.database());
  CHECK(store->TakeSnapshot().last_revision == 12);
  CHECK(store->ReadEvents({.after_revision = 11}).status().code() == StatusCode::kOutOfRange);
  CHECK(Revisions(*store, {.after_revision = 12}).empty());
}

TEST_CASE("an event of a write that failed leaves no trace") {
  const TempFolder folder;
  {
    const auto store = MustOpen(folder.database());
    REQUIRE(Append(*store, {MakeEvent(1)}).ok());
    CHECK_FALSE(Append(*store, {MakeEvent(2), MakeEvent(1)}).ok());
    CHECK(Revisions(*store, {}) == std::vector<int64_t>{1});
  }
  CHECK(MustOpen(folder.database())->TakeSnapshot().last_revision == 1);
}

TEST_CASE("an event that goes bad while the store is open does not stop those who follow") {
  const TempFolder folder;
  const auto store = MustOpen(folder.database());
  REQUIRE(Append(*store, {MakeEvent(1), MakeEvent(2), MakeEvent(3)}).ok());
  // Another connection writes here, which only a test may do: the store's own is idle.
  RunSql(folder.database(),
         "UPDATE events SET body = replace(body, 'number', 'nUmber')"
         " WHERE revision = 2");
  const auto events = store->ReadEvents({});
  REQUIRE(events.ok());
  REQUIRE(events->size() == 3);
  CHECK((*events)[1].revision == 2);
  CHECK((*events)[1].type == "store.quarantined");
  CHECK((*events)[2] == MakeEvent(3));
}

}  // namespace
}  // namespace claw::store::testing
