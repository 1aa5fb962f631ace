#include <catch2/catch.hpp>
#include <random>
#include <stdexcept>

#include "agent/base/file.h"
#include "agent/model/json.h"
#include "store/table.h"
#include "tests/unit/store/fixture.h"

namespace claw::store::testing {
namespace {

namespace fs = std::filesystem;

// As it stands between quotes in SQL.
std::string Quoted(const std::string& text) {
  std::string quoted;
  for (const char c : text) quoted += c == '\'' ? std::string("''") : std::string(1, c);
  return quoted;
}

// Three sandboxes, a tenant and thirty events.
void Fill(const fs::path& path) {
  const auto store = MustOpen(path);
  const Status status = WriteAndWait(*store, [](Transaction& transaction) -> Status {
    RETURN_IF_ERROR(transaction.PutTenant(MakeTenant("acme")));
    for (const char* id : {"aaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaa2", "aaaaaaaaaaaaaaa3"}) {
      RETURN_IF_ERROR(transaction.PutSandbox(MakeSandbox(id)));
    }
    for (int i = 1; i <= 30; ++i) RETURN_IF_ERROR(transaction.AppendEvent(MakeEvent(i)));
    return absl::OkStatus();
  });
  if (!status.ok()) throw std::runtime_error(ToLogString(status));
}

std::vector<std::string> SandboxIds(Store& store) {
  std::vector<std::string> ids;
  for (const Sandbox& sandbox : store.TakeSnapshot().sandboxes) ids.push_back(sandbox.id);
  return ids;
}

// The database was replaced by a new one that works, and the old file is where the report says.
void CheckReplaced(const fs::path& path, const std::string& old_content) {
  const auto store = MustOpen(path);
  REQUIRE(store->quarantined().size() == 1);
  const Quarantined& report = store->quarantined().front();
  CHECK(report.what == "clawlet.db");
  CHECK_FALSE(report.why.empty());
  CHECK(report.where.find("clawlet.db.corrupt-2") != std::string::npos);
  CHECK(ReadFile(report.where).value() == old_content);
  CHECK(SandboxIds(*store).empty());
  CHECK(WriteAndWait(*store, [](Transaction& transaction) {
          return transaction.PutTenant(MakeTenant("new"));
        }).ok());
}

void CheckBadSandbox(const fs::path& path, const std::string& bad_id,
                     const std::vector<std::string>& good_ids) {
  {
    const auto store = MustOpen(path);
    REQUIRE(store->quarantined().size() == 1);
    CHECK(store->quarantined().front().what == "sandboxes/" + bad_id);
    CHECK(store->quarantined().front().where == "table quarantine, row 1");
    CHECK(SandboxIds(*store) == good_ids);
    CHECK(store->ReadEvents({})->size() == 30);
  }
  CHECK(QuerySql(path, "SELECT from_table || '/' || key FROM quarantine") ==
        "sandboxes/" + bad_id + "\n");
  const auto again = MustOpen(path);
  CHECK(again->quarantined().empty());
  CHECK(SandboxIds(*again) == good_ids);
}

// Invariant I5, from here on.
TEST_CASE("a file that is not a database is set aside") {
  const TempFolder folder;
  const std::string text = GENERATE(std::string("hello"), std::string(100000, 'x'), std::string());
  REQUIRE(WriteFileAtomic(folder.database(), text).ok());
  CheckReplaced(folder.database(), text);
  CHECK(MustOpen(folder.database())->quarantined().empty());
}

TEST_CASE("a truncated database is set aside") {
  const TempFolder folder;
  Fill(folder.database());
  const auto size = fs::file_size(folder.database());
  fs::resize_file(folder.database(), GENERATE_COPY(size / 2, size - 4096, 4096, 50));
  CheckReplaced(folder.database(), ReadFile(folder.database()).value());
}

TEST_CASE("a database with a spoilt page is set aside") {
  const TempFolder folder;
  Fill(folder.database());
  std::string content = ReadFile(folder.database()).value();
  const size_t page = GENERATE(as<size_t>{}, 0, 1, 2, 4);
  for (size_t i = 0; i < 200; ++i) content[page * 4096 + (page == 0 ? 100 : 0) + i] ^= 0x5a;
  REQUIRE(WriteFileAtomic(folder.database(), content).ok());
  CheckReplaced(folder.database(), content);
}

TEST_CASE("a database without the tables of its version is set aside") {
  const TempFolder folder;
  Fill(folder.database());
  // The version alone is no damage: without its second record the header is all there is.
  RunSql(folder.database(), GENERATE("DROP TABLE sandboxes", "DROP TABLE meta",
                                     "DELETE FROM meta; PRAGMA user_version = 0",
                                     "DELETE FROM meta; PRAGMA user_version = 1",
                                     "DELETE FROM meta; PRAGMA user_version = -3",
                                     "PRAGMA user_version = 77; DROP TABLE quarantine",
                                     "PRAGMA user_version = 1; CREATE TABLE stranger (a)"));
  const auto store = MustOpen(folder.database());
  REQUIRE(store->quarantined().size() == 1);
  CHECK(store->quarantined().front().what == "clawlet.db");
}

TEST_CASE("whatever bit is flipped, the store opens, takes writes, and reports what it lost") {
  const TempFolder folder;
  Fill(folder.database());
  const std::string sound = ReadFile(folder.database()).value();
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::minstd_rand random(seed);
  // The write version, the format of the schema, then anything after the header.
  std::vector<size_t> offsets{18, 19, 47};
  while (offsets.size() < 40) {
    offsets.push_back(std::uniform_int_distribution<size_t>(100, sound.size() - 1)(random));
  }
  for (const size_t offset : offsets) {
    CAPTURE(offset);
    std::string content = sound;
    content[offset] ^= 4;
    if (offset == 47) content[offset] = 5;
    const TempFolder damaged;
    REQUIRE(WriteFileAtomic(damaged.database(), content).ok());
    const auto store = MustOpen(damaged.database());
    const size_t missing = 3 - SandboxIds(*store).size();
    CHECK((missing == 0 || !store->quarantined().empty()));
    CHECK(WriteAndWait(*store, [](Transaction& transaction) -> Status {
            RETURN_IF_ERROR(transaction.PutTenant(MakeTenant("acme")));
            return transaction.DeleteSandbox("aaaaaaaaaaaaaaa2");
          }) == absl::OkStatus());
  }
}

TEST_CASE("a log that has lost its database is not played into the new one") {
  const TempFolder folder;
  const std::string wal = folder.database().string() + "-wal";
  REQUIRE(WriteFileAtomic(wal, "frames").ok());
  const auto store = MustOpen(folder.database());
  REQUIRE(store->quarantined().size() == 1);
  CHECK(ReadFile(store->quarantined().front().where + "-wal").value() == "frames");
}

TEST_CASE("a new database after a loss does not give out revisions again") {
  const TempFolder folder;
  Fill(folder.database());
  REQUIRE(WriteFileAtomic(folder.database(), "hello").ok());
  int64_t last_revision = 0;
  {
    const auto store = MustOpen(folder.database());
    last_revision = store->TakeSnapshot().last_revision;
    CHECK(last_revision > 30);
    CHECK(ReasonOf(store->ReadEvents({.after_revision = 7}).status()) == "REVISION_COMPACTED");
    CHECK(store->ReadEvents({.after_revision = last_revision})->empty());
    CHECK(WriteAndWait(*store, [&](Transaction& transaction) {
            return transaction.AppendEvent(MakeEvent(last_revision + 1));
          }).ok());
  }
  CHECK(MustOpen(folder.database())->TakeSnapshot().last_revision == last_revision + 1);
}

TEST_CASE("a flipped bit costs one record") {
  const TempFolder folder;
  Fill(folder.database());
  SECTION("in its body") {
    RunSql(folder.database(),
           "UPDATE sandboxes SET body = replace(body, 'acme', 'acmf')"
           " WHERE id = 'aaaaaaaaaaaaaaa2'");
    CheckBadSandbox(folder.database(), "aaaaaaaaaaaaaaa2",
                    {"aaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaa3"});
  }
  SECTION("in its checksum") {
    RunSql(folder.database(),
           "UPDATE sandboxes SET checksum = checksum + 1"
           " WHERE id = 'aaaaaaaaaaaaaaa3'");
    CheckBadSandbox(folder.database(), "aaaaaaaaaaaaaaa3",
                    {"aaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaa2"});
  }
  SECTION("in its key, so that table and index disagree") {
    // In the file the key stands before the body, which begins with a brace; in the index not.
    REQUIRE(ReplaceInFile(folder.database(), "aaaaaaaaaaaaaaa1{", "aaaaaaaaaaaaaaa5{") == 1);
    CheckBadSandbox(folder.database(), "aaaaaaaaaaaaaaa5",
                    {"aaaaaaaaaaaaaaa2", "aaaaaaaaaaaaaaa3"});
  }
}

TEST_CASE("an index that is wrong is built anew and nothing is lost") {
  const TempFolder folder;
  Fill(folder.database());
  // The autoindex holds the key followed by the rowid; the table holds it followed by the body.
  REQUIRE(ReplaceInFile(folder.database(), std::string_view("aaaaaaaaaaaaaaa2\x02", 17),
                        std::string_view("aaaaaaaaaaaaaaa4\x02", 17)) == 1);
  const auto store = MustOpen(folder.database());
  CHECK(store->quarantined().empty());
  CHECK(SandboxIds(*store).size() == 3);
  REQUIRE(WriteAndWait(*store, [](Transaction& transaction) {
            return transaction.DeleteSandbox("aaaaaaaaaaaaaaa2");
          }).ok());
}

TEST_CASE("a record that cannot be understood is set aside") {
  const TempFolder folder;
  Fill(folder.database());
  const std::string id = "bbbbbbbbbbbbbbbb";
  const std::string body =
      GENERATE(as<std::string>{}, "", "not json", "[]", "{\"id\":\"cccccccccccccccc\"}",
               "{\"id\":\"bbbbbbbbbbbbbbbb\",\"state\":\"DREAMING\"}");
  RunSql(folder.database(), StrCat("INSERT INTO sandboxes (id, body, checksum) VALUES ('", id,
                                   "', '", body, "', ", Checksum(id, body), ")"));
  CheckBadSandbox(folder.database(), id,
                  {"aaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaa2", "aaaaaaaaaaaaaaa3"});
}

TEST_CASE("a verdict or an override that is kept under another image's key is set aside") {
  const TempFolder folder;
  Fill(folder.database());
  const std::string verdict = ToJson(MakeVerdict("sha256:1"));
  const std::string value = ToJson(MakeOverride("sha256:1"));
  const std::string key = VerdictKey(MakeVerdict("sha256:2"));
  // The checksums are right.
  RunSql(folder.database(),
         StrCat("INSERT INTO verdicts VALUES ('", key, "', '", Quoted(verdict), "', ",
                Checksum(key, verdict), ");", "INSERT INTO overrides VALUES ('sha256:2', '",
                Quoted(value), "', ", Checksum("sha256:2", value), ");"));
  const auto store = MustOpen(folder.database());
  REQUIRE(store->quarantined().size() == 2);
  CHECK(store->quarantined()[0].why == "the record is about another image or runtime");
  CHECK(store->quarantined()[1].why == "the record is about another image");
}

TEST_CASE("a network policy that is another's, or could not be put in force, is set aside") {
  const TempFolder folder;
  Fill(folder.database());
  const std::pair<std::string, std::string> rows[] = {
      {ToJson(MakeNetworkPolicy("web")), "the record is of another policy"},
      {R"({"name":"db","policy":{"egress":["10.0.0.1/8"]}})",
       "network policy record cannot be read"},
      {R"({"name":"db","policy":{"ingress":["api.example.com"]}})",
       "policy.ingress[0] names a DNS"},
      {R"({"name":"db","policy":{"connections_max":-1}})", "policy.connections_max is -1"},
  };
  for (const auto& [body, why] : rows) {
    INFO(body);
    // The checksum is right.
    RunSql(folder.database(), StrCat("INSERT INTO network_policies VALUES ('db', '", Quoted(body),
                                     "', ", Checksum("db", body), ");"));
    const auto store = MustOpen(folder.database());
    REQUIRE(store->quarantined().size() == 1);
    CHECK(store->quarantined()[0].what == "network_policies/db");
    CHECK(store->quarantined()[0].why.find(why) != std::string::npos);
    CHECK(store->TakeSnapshot().network_policies.empty());
  }
}

TEST_CASE("every kind of row is set aside alone") {
  const TempFolder folder;
  Fill(folder.database());
  RunSql(folder.database(),
         "INSERT INTO tenants VALUES ('odd', NULL, NULL);"
         "INSERT INTO images VALUES (x'ff00', x'00', 'a');"
         "INSERT INTO verdicts VALUES ('sha256:1 amd64 ptrace 1', '{}', 2);"
         "INSERT INTO overrides VALUES ('sha256:1', '{\"image_digest\":\"sha256:2\"}', 3);"
         "INSERT INTO network_policies VALUES ('web', '{\"name\":\"web\"}', 4);"
         "INSERT INTO vms VALUES ('a', '{\"name\":\"a\"}', 5);"
         "INSERT INTO requests VALUES (NULL, '{}', 1.5);"
         "UPDATE events SET subject = 'elsewhere' WHERE revision = 30;");
  const auto store = MustOpen(folder.database());
  REQUIRE(store->quarantined().size() == 8);
  CHECK(store->quarantined()[0].what == "tenants/odd");
  CHECK(store->quarantined()[1].what == "images/\\xff\\x00");
  CHECK(store->quarantined()[2].what == "verdicts/sha256:1 amd64 ptrace 1");
  CHECK(store->quarantined()[3].what == "overrides/sha256:1");
  CHECK(store->quarantined()[4].what == "vms/a");
  CHECK(store->quarantined()[5].what == "network_policies/web");
  CHECK(store->quarantined()[6].what == "requests/");
  CHECK(store->quarantined()[7].what == "events/30 elsewhere");
  const Snapshot snapshot = store->TakeSnapshot();
  CHECK(snapshot.tenants.size() == 1);
  CHECK(snapshot.sandboxes.size() == 3);
  CHECK(snapshot.verdicts.empty());  // so the image counts as never tested
  CHECK(snapshot.overrides.empty());
  CHECK(snapshot.network_policies.empty());
  CHECK(snapshot.last_revision == 30);
  CHECK(store->ReadEvents({})->size() == 29);
}

TEST_CASE("a bad number in meta is made good and revisions still ascend") {
  const TempFolder folder;
  Fill(folder.database());
  RunSql(folder.database(), "UPDATE meta SET body = '3' WHERE key = 'last_revision'");
  const auto store = MustOpen(folder.database());
  REQUIRE(store->quarantined().size() == 1);
  CHECK(store->quarantined().front().what == "meta/last_revision");
  CHECK(store->TakeSnapshot().last_revision >= 30);
  CHECK(store->ReadEvents({})->size() == 30);
}

}  // namespace
}  // namespace claw::store::testing
