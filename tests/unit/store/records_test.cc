#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "tests/unit/store/fixture.h"

namespace claw::store::testing {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'b');

const NodeState kCordoned{.cordoned = true,
                          .cordon_reason = "its fan \"howls\"",
                          .cordoned_by = "unix:root(0)",
                          .cordoned_at = FromMicros(1764000000000010),
                          .controller_generation = 7};

TEST_CASE("a new store is empty") {
  const TempFolder folder;
  const auto store = MustOpen(folder.database());
  const Snapshot snapshot = store->TakeSnapshot();
  CHECK(snapshot.tenants.empty());
  CHECK(snapshot.sandboxes.empty());
  CHECK(snapshot.images.empty());
  CHECK(snapshot.verdicts.empty());
  CHECK(snapshot.overrides.empty());
  CHECK(snapshot.network_policies.empty());
  CHECK(snapshot.vms.empty());
  CHECK(snapshot.overheads.empty());
  CHECK(snapshot.usages.empty());
  CHECK(snapshot.requests.empty());
  CHECK_FALSE(snapshot.node_state.has_value());
  CHECK(snapshot.last_revision == 0);
  CHECK(store->quarantined().empty());
  CHECK(store->ReadEvents({})->empty());
}

TEST_CASE("every kind of record comes back as it was written") {
  const TempFolder folder;
  {
    const auto store = MustOpen(folder.database());
    const Status status = WriteAndWait(*store, [](Transaction& transaction) -> Status {
      RETURN_IF_ERROR(transaction.PutTenant(MakeTenant("acme")));
      RETURN_IF_ERROR(transaction.PutSandbox(MakeSandbox("0123456789abcdef")));
      RETURN_IF_ERROR(transaction.PutImage(MakeImage(kDigest)));
      RETURN_IF_ERROR(transaction.PutVerdict(MakeVerdict(kDigest)));
      RETURN_IF_ERROR(transaction.PutOverride(MakeOverride(kDigest)));
      RETURN_IF_ERROR(transaction.PutNetworkPolicy(MakeNetworkPolicy("web")));
      RETURN_IF_ERROR(transaction.PutVm(MakeVm("mac")));
      RETURN_IF_ERROR(transaction.PutOverhead(MakeOverhead("sha256:gone")));
      RETURN_IF_ERROR(transaction.PutOverhead(MakeOverhead(kDigest)));
      RETURN_IF_ERROR(transaction.DeleteOverhead(OverheadKey(MakeOverhead("sha256:gone"))));
      RETURN_IF_ERROR(transaction.PutNodeState({.controller_generation = 1}));
      RETURN_IF_ERROR(transaction.PutNodeState(kCordoned));
      return transaction.PutRequest(MakeRequest("r-1"));
    });
    REQUIRE(status == absl::OkStatus());
  }
  const auto store = MustOpen(folder.database());
  CHECK(store->quarantined().empty());
  const Snapshot snapshot = store->TakeSnapshot();
  CHECK(snapshot.tenants == std::vector{MakeTenant("acme")});
  CHECK(snapshot.sandboxes == std::vector{MakeSandbox("0123456789abcdef")});
  CHECK(snapshot.images == std::vector{MakeImage(kDigest)});
  CHECK(snapshot.verdicts == std::vector{MakeVerdict(kDigest)});
  CHECK(snapshot.overrides == std::vector{MakeOverride(kDigest)});
  CHECK(snapshot.network_policies == std::vector{MakeNetworkPolicy("web")});
  CHECK(snapshot.vms == std::vector{MakeVm("mac")});
  CHECK(snapshot.overheads == std::vector{MakeOverhead(kDigest)});
  CHECK(snapshot.requests == std::vector{MakeRequest("r-1")});
  CHECK(snapshot.node_state == kCordoned);
}

TEST_CASE("Put replaces, Delete removes, and deleting what is not there is OK") {
  const TempFolder folder;
  Sandbox changed = MakeSandbox("0123456789abcdef");
  changed.state = SandboxState::kLost;
  {
    const auto store = MustOpen(folder.database());
    const Status status = WriteAndWait(*store, [&](Transaction& transaction) -> Status {
      for (const char* name : {"a", "b"}) {
        RETURN_IF_ERROR(transaction.PutTenant(MakeTenant(name)));
        RETURN_IF_ERROR(transaction.PutImage(MakeImage(name)));
        RETURN_IF_ERROR(transaction.PutVerdict(MakeVerdict(name)));
        RETURN_IF_ERROR(transaction.PutOverride(MakeOverride(name)));
        RETURN_IF_ERROR(transaction.PutNetworkPolicy({.name = name}));
        RETURN_IF_ERROR(transaction.PutNetworkPolicy(MakeNetworkPolicy(name)));
        RETURN_IF_ERROR(transaction.PutVm({.spec = {.name = name}}));
        RETURN_IF_ERROR(transaction.PutVm(MakeVm(name)));
        RETURN_IF_ERROR(transaction.PutRequest(MakeRequest(name)));
      }
      RETURN_IF_ERROR(transaction.PutSandbox(MakeSandbox("0123456789abcdef")));
      RETURN_IF_ERROR(transaction.PutSandbox(MakeSandbox("fedcba9876543210")));
      RETURN_IF_ERROR(transaction.PutSandbox(changed));
      RETURN_IF_ERROR(transaction.DeleteTenant("a"));
      RETURN_IF_ERROR(transaction.DeleteImage("a"));
      RETURN_IF_ERROR(transaction.DeleteVerdict(VerdictKey(MakeVerdict("a"))));
      RETURN_IF_ERROR(transaction.DeleteOverride("a"));
      RETURN_IF_ERROR(transaction.DeleteNetworkPolicy("a"));
      RETURN_IF_ERROR(transaction.DeleteNetworkPolicy("never was"));
      RETURN_IF_ERROR(transaction.DeleteVm("a"));
      RETURN_IF_ERROR(transaction.DeleteVm("never was"));
      RETURN_IF_ERROR(transaction.DeleteRequest("a"));
      RETURN_IF_ERROR(transaction.DeleteSandbox("fedcba9876543210"));
      return transaction.DeleteSandbox("never was");
    });
    REQUIRE(status == absl::OkStatus());
  }
  const Snapshot snapshot = MustOpen(folder.database())->TakeSnapshot();
  CHECK(snapshot.tenants == std::vector{MakeTenant("b")});
  CHECK(snapshot.images == std::vector{MakeImage("b")});
  CHECK(snapshot.verdicts == std::vector{MakeVerdict("b")});
  CHECK(snapshot.overrides == std::vector{MakeOverride("b")});
  CHECK(snapshot.network_policies == std::vector{MakeNetworkPolicy("b")});
  CHECK(snapshot.vms == std::vector{MakeVm("b")});
  CHECK(snapshot.requests == std::vector{MakeRequest("b")});
  CHECK(snapshot.sandboxes == std::vector{changed});
}

TenantUsage Usage(const std::string& tenant, double workload, double overhead) {
  return {.tenant = tenant, .charged = {.workload = workload, .overhead = overhead}};
}

TEST_CASE("what a tenant was charged is added up, and a write that fails adds nothing") {
  const TempFolder folder;
  const double third = 1.0 / 3;
  {
    const auto store = MustOpen(folder.database());
    const Status added = WriteAndWait(*store, [&](Transaction& transaction) -> Status {
      RETURN_IF_ERROR(transaction.AddTenantUsage(Usage("acme", 1e18, third)));
      RETURN_IF_ERROR(transaction.AddTenantUsage(Usage("gone", 1, 1)));
      RETURN_IF_ERROR(transaction.DeleteTenantUsage("gone"));
      RETURN_IF_ERROR(transaction.DeleteTenantUsage("never was"));
      return transaction.AddTenantUsage(Usage("house", 0, 0));
    });
    REQUIRE(added == absl::OkStatus());
    const Status failed = WriteAndWait(*store, [&](Transaction& transaction) -> Status {
      RETURN_IF_ERROR(transaction.AddTenantUsage(Usage("acme", 7e18, 7)));
      return Internal("as it happens");
    });
    CHECK_FALSE(failed.ok());
    REQUIRE(WriteAndWait(*store, [&](Transaction& transaction) {
              return transaction.AddTenantUsage(Usage("acme", 4096, 0.5));
            }).ok());
  }
  const auto store = MustOpen(folder.database());
  CHECK(store->quarantined().empty());
  CHECK(store->TakeSnapshot().usages ==
        std::vector{Usage("acme", 1e18 + 4096, third + 0.5), Usage("house", 0, 0)});
}

TEST_CASE("a tenant's total that is damaged is set aside, and the next write begins anew") {
  const TempFolder folder;
  const auto add = [](Transaction& transaction) {
    return transaction.AddTenantUsage(Usage("acme", 100, 50));
  };
  REQUIRE(WriteAndWait(*MustOpen(folder.database()), add).ok());
  const char* const damage =
      GENERATE("UPDATE usages SET body = replace(body, '100', '900')",
               "UPDATE usages SET tenant = 'acmf'", "UPDATE usages SET body = NULL");
  RunSql(folder.database(), damage);
  {
    const auto store = MustOpen(folder.database());
    REQUIRE(store->quarantined().size() == 1);
    CHECK(store->TakeSnapshot().usages.empty());
    REQUIRE(WriteAndWait(*store, add).ok());
  }
  CHECK(MustOpen(folder.database())->TakeSnapshot().usages == std::vector{Usage("acme", 100, 50)});
}

TEST_CASE("what the node knows of itself is set aside when it is damaged") {
  const TempFolder folder;
  REQUIRE(WriteAndWait(*MustOpen(folder.database()), [](Transaction& transaction) {
            return transaction.PutNodeState(kCordoned);
          }).ok());
  const char* const damage =
      GENERATE("UPDATE node_state SET body = replace(body, '7', '8')",
               "UPDATE node_state SET key = 'mode'", "UPDATE node_state SET body = NULL");
  RunSql(folder.database(), damage);
  const auto store = MustOpen(folder.database());
  REQUIRE(store->quarantined().size() == 1);
  CHECK(store->quarantined()[0].what.starts_with("node_state/"));
  CHECK_FALSE(store->TakeSnapshot().node_state.has_value());
}

TEST_CASE("a request id may hold any bytes") {
  const TempFolder folder;
  const RequestRecord request = MakeRequest(std::string("\xff\x00'; --", 7));
  REQUIRE(WriteAndWait(*MustOpen(folder.database()), [&](Transaction& transaction) {
            return transaction.PutRequest(request);
          }).ok());
  const auto store = MustOpen(folder.database());
  CHECK(store->TakeSnapshot().requests == std::vector{request});
  CHECK(store->quarantined().empty());
}

TEST_CASE("a second user of the database is turned away") {
  const TempFolder folder;
  auto first = MustOpen(folder.database());
  const Status second = Store::Open({.path = folder.database()}).status();
  CHECK(second.code() == StatusCode::kUnavailable);
  CHECK(ReasonOf(second) == "DATABASE_LOCKED");
  first.reset();
  CHECK(Store::Open({.path = folder.database()}).ok());
}

TEST_CASE("the database is for its owner only, and its folder has to exist") {
  const TempFolder folder;
  const auto store = MustOpen(folder.database());
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    struct stat info {};
    REQUIRE(::stat((folder.database().string() + suffix).c_str(), &info) == 0);
    CHECK((info.st_mode & 0077) == 0);
  }
  const Status missing = Store::Open({.path = folder.path() / "none" / "clawlet.db"}).status();
  CHECK(missing.code() == StatusCode::kNotFound);
  CHECK_FALSE(Store::Open({.path = folder.path()}).ok());
}

}  // namespace
}  // namespace claw::store::testing
