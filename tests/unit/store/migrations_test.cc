#include "store/migrations.h"

#include <catch2/catch.hpp>

#include "agent/base/file.h"
#include "store/table.h"
#include "tests/unit/store/fixture.h"

namespace claw::store::testing {
namespace {

const char* const kSchema = "SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name";

// A database as the program of that schema version left it.
void LoadFixture(int version, const std::filesystem::path& path) {
  const auto dump = StrCat(CLAW_STORE_TESTDATA, "/schema_", version, ".sql");
  RunSql(path, ReadFile(dump).value());
}

TEST_CASE("a database of each older schema is brought up to date with all its records") {
  const int version = GENERATE(range(1, LatestSchemaVersion()));
  const TempFolder folder;
  LoadFixture(version, folder.database());
  REQUIRE(QuerySql(folder.database(), "PRAGMA user_version") == StrCat(version, "\n"));
  {
    const auto store = MustOpen(folder.database());
    CHECK(store->quarantined().empty());
    const Snapshot snapshot = store->TakeSnapshot();
    REQUIRE(snapshot.tenants.size() == 2);
    CHECK(snapshot.tenants[0] == MakeTenant("acme"));
    REQUIRE(snapshot.sandboxes.size() == 2);
    CHECK(snapshot.sandboxes[0] == MakeSandbox("0123456789abcdef"));
    CHECK(snapshot.sandboxes[1].id == "fedcba9876543210");
    REQUIRE(snapshot.images.size() == 1);
    CHECK(snapshot.images[0] == MakeImage("sha256:" + std::string(64, 'b')));
    CHECK(snapshot.requests == std::vector{MakeRequest("r-1")});
    if (version >= 4) {
      CHECK(snapshot.overheads == std::vector{MakeOverhead("sha256:" + std::string(64, 'b'))});
    }
    const TenantUsage usage{.tenant = "acme", .charged = {.workload = 100, .overhead = 50}};
    CHECK(snapshot.usages == (version >= 5 ? std::vector{usage} : std::vector<TenantUsage>{}));
    const NodeState cordoned{.cordoned = true,
                             .cordon_reason = "new disks",
                             .cordoned_by = "unix:root(0)",
                             .cordoned_at = FromMicros(1764000000000010),
                             .controller_generation = 7};
    CHECK(snapshot.node_state == (version >= 6 ? std::optional(cordoned) : std::nullopt));
    CHECK(snapshot.network_policies == (version >= 7 ? std::vector{MakeNetworkPolicy("web")}
                                                     : std::vector<NamedNetworkPolicy>{}));
    CHECK(snapshot.vms.empty());
    CHECK(snapshot.last_revision == 4);
    const auto events = store->ReadEvents({.after_revision = 1, .subject = "node"});
    REQUIRE(events.ok());
    CHECK(*events == std::vector{MakeEvent(3, "node"), MakeEvent(4, "node")});
    CHECK(ReasonOf(store->ReadEvents({}).status()) == "REVISION_COMPACTED");
  }
  const TempFolder fresh;
  MustOpen(fresh.database());
  CHECK(QuerySql(folder.database(), kSchema) == QuerySql(fresh.database(), kSchema));
  CHECK(QuerySql(folder.database(), "PRAGMA user_version") == StrCat(LatestSchemaVersion(), "\n"));
}

TEST_CASE("the events of one subject are found by the index") {
  const TempFolder folder;
  MustOpen(folder.database());
  const std::string plan =
      QuerySql(folder.database(),
               "EXPLAIN QUERY PLAN SELECT * FROM events WHERE subject = 'node' AND revision > 7"
               " ORDER BY revision LIMIT 10");
  CHECK(plan.find("events_by_subject (subject=? AND rowid>?)") != std::string::npos);
  CHECK(plan.find("TEMP B-TREE") == std::string::npos);
}

const char* const kRecordedVersion = "SELECT body FROM meta WHERE key = 'schema_version'";

TEST_CASE("a database of a newer schema is refused and left as it is") {
  const TempFolder folder;
  MustOpen(folder.database());
  RunSql(folder.database(),
         StrCat("PRAGMA user_version = 77; UPDATE meta SET body = '77', checksum = ",
                Checksum("schema_version", "77"), " WHERE key = 'schema_version'"));
  REQUIRE(QuerySql(folder.database(), kRecordedVersion) == "77\n");
  const std::string before = ReadFile(folder.database()).value();
  const Status status = Store::Open({.path = folder.database()}).status();
  CHECK(status.code() == StatusCode::kFailedPrecondition);
  CHECK(ReasonOf(status) == "SCHEMA_TOO_NEW");
  const std::string message(ToStd(status.message()));
  CHECK(message.find("schema version 77") != std::string::npos);
  CHECK(message.find(StrCat("up to ", LatestSchemaVersion())) != std::string::npos);
  CHECK(message.find("start the newer clawlet") != std::string::npos);
  CHECK(ReadFile(folder.database()).value() == before);
}

// Invariant I5.
TEST_CASE("a flipped bit in the header's schema version is repaired and costs nothing") {
  constexpr size_t kUserVersionAt = 60;  // in the header, four bytes
  const TempFolder folder;
  REQUIRE(WriteAndWait(*MustOpen(folder.database()), [](Transaction& transaction) {
            return transaction.PutSandbox(MakeSandbox("aaaaaaaaaaaaaaa1"));
          }).ok());
  const std::string sound = ReadFile(folder.database()).value();
  const std::string version = QuerySql(folder.database(), "PRAGMA user_version");
  for (size_t bit = 0; bit < 32; ++bit) {
    CAPTURE(bit);
    std::string content = sound;
    content[kUserVersionAt + bit / 8] =
        static_cast<char>(content[kUserVersionAt + bit / 8] ^ (1 << (bit % 8)));
    REQUIRE(WriteFileAtomic(folder.database(), content).ok());
    REQUIRE(QuerySql(folder.database(), "PRAGMA user_version") != version);
    {
      const auto store = MustOpen(folder.database());
      CHECK(store->quarantined().empty());
      CHECK(store->TakeSnapshot().sandboxes.size() == 1);
    }
    CHECK(QuerySql(folder.database(), "PRAGMA user_version") == version);
  }
}

TEST_CASE("the schema version's second record is made good when it is missing or spoilt") {
  const TempFolder folder;
  MustOpen(folder.database());
  RunSql(folder.database(), GENERATE("DELETE FROM meta WHERE key = 'schema_version'",
                                     "UPDATE meta SET body = '9' WHERE key = 'schema_version'"));
  CHECK(MustOpen(folder.database())->quarantined().empty());
  CHECK(QuerySql(folder.database(), kRecordedVersion) == StrCat(LatestSchemaVersion(), "\n"));
}

TEST_CASE("a start that was cut off before the first migration is carried on") {
  const TempFolder folder;
  RunSql(folder.database(), "PRAGMA journal_mode = WAL; CREATE TABLE t (a); DROP TABLE t;");
  const auto store = MustOpen(folder.database());
  CHECK(store->quarantined().empty());
}

}  // namespace
}  // namespace claw::store::testing
