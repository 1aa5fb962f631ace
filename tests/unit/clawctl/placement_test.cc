#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "agent/base/bytes.h"
#include "tests/unit/clawctl/fixture.h"

namespace claw::ctl::testing {
namespace {

using Catch::Matchers::Contains;
using nlohmann::json;
using Words = std::vector<std::string>;

// A command that takes a sandbox, with what it needs and more.
Words With(const std::string& command, const Words& more) {
  Words words = {"node", command, "--image", "busybox:1", "--tenant", "acme"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

pb::Constraint MakeConstraint(const std::string& name, bool met, const std::string& problem) {
  pb::Constraint constraint;
  constraint.set_name(name);
  constraint.set_met(met);
  constraint.set_needed("192 MiB");
  constraint.set_available("64 MiB");
  constraint.set_problem(problem);
  return constraint;
}

// One target, that has what is asked of it but for memory, if it does not fit.
pb::Explanation MakeExplanation(const std::string& target, bool fits) {
  pb::Explanation explanation;
  explanation.set_target(target);
  explanation.set_fits(fits);
  *explanation.add_constraints() = MakeConstraint("image.architecture", true, "");
  *explanation.add_constraints() = MakeConstraint("node.memory.allocatable_bytes", fits, "");
  explanation.set_isolation_class(pb::ISOLATION_CLASS_GVISOR);
  explanation.mutable_memory()->set_workload_bytes(128 * kMiB);
  explanation.mutable_memory()->set_request_bytes(128 * kMiB);
  explanation.mutable_memory()->set_overhead_bytes(64 * kMiB);
  explanation.mutable_score()->set_total(0.875);
  explanation.mutable_score()->set_warm(1);
  if (fits) return explanation;
  pb::Constraint& memory = *explanation.mutable_constraints(1);
  memory.set_problem("the node is full");
  memory.set_reason("MEMORY_EXHAUSTED");
  memory.mutable_retry_after()->set_seconds(5);
  return explanation;
}

Refusal Refused(int code, const std::string& reason, const std::string& message) {
  pb::ErrorDetail detail;
  detail.set_reason(reason);
  detail.set_outcome(pb::ErrorDetail::REFUSED);
  return {.code = code, .message = message, .detail = detail};
}

void CheckPlace(const pb::SandboxSpec& spec) {
  CHECK(spec.tenant() == "tenants/acme");
  CHECK(spec.image() == "busybox:1");
  CHECK(spec.workload_bytes() == 64 * kMiB);
  REQUIRE(spec.node_selector().size() == 2);
  CHECK(spec.node_selector().at("disk") == "ssd");
  CHECK(spec.node_selector().at("zone") == "");
  REQUIRE(spec.tolerations_size() == 2);
  CHECK(spec.tolerations(0) == "gpu");
  CHECK(spec.tolerations(1) == "for=batch=1");
  REQUIRE(spec.avoid_tenants_size() == 2);
  CHECK(spec.avoid_tenants(0) == "tenants/noisy");
  CHECK(spec.avoid_tenants(1) == "tenants/other");
  CHECK(spec.exclusive());
  REQUIRE(spec.args_size() == 2);
  CHECK(spec.args(1) == "--help");
}

TEST_CASE("run, explain and reserve read the same options", "[clawctl]") {
  Fixture node;
  *node.state().explanation.add_targets() = MakeExplanation("host", true);
  const Words more = {"--memory",
                      "64Mi",
                      "--node-selector",
                      "disk=ssd",
                      "--toleration",
                      "gpu",
                      "--node-selector",
                      "zone=",
                      "--toleration",
                      "for=batch=1",
                      "--avoid-tenant",
                      "noisy",
                      "--exclusive",
                      "--avoid-tenant",
                      "tenants/other",
                      "--",
                      "echo",
                      "--help"};
  for (const char* command : {"run", "explain", "reserve"}) {
    CAPTURE(command);
    CHECK(node.Ctl(With(command, more)).code == 0);
  }
  CheckPlace(node.state().creates.at(0).spec());
  CheckPlace(node.state().explains.at(0).spec());
  CheckPlace(node.state().reserves.at(0).spec());
}

TEST_CASE("a wrong description of a sandbox is refused before the agent is asked", "[clawctl]") {
  Fixture node;
  const std::vector<Words> slips = {{"--node-selector", "disk"},
                                    {"--node-selector", "=ssd"},
                                    {"--node-selector", "d=1", "--node-selector", "d=2"},
                                    {"--toleration", ""},
                                    {"--toleration", "=x"},
                                    {"--avoid-tenant", "tenants/"},
                                    {"--memory", "much"},
                                    {"--mount", "/a"},
                                    {"stray"}};
  for (const char* command : {"run", "explain", "reserve"}) {
    for (const Words& slip : slips) {
      CAPTURE(command, slip);
      const auto result = node.Ctl(With(command, slip));
      CHECK(result.code == 2);
      CHECK(result.err.starts_with("clawctl: "));
    }
    const auto nobody = node.Ctl({"node", command, "--image", "busybox:1"});
    CHECK(nobody.code == 2);
    CHECK_THAT(nobody.err, Contains("--tenant") && Contains("--help"));
  }
  CHECK_THAT(node.Ctl(With("reserve", slips[2])).err, Contains("'1' and '2'"));
  for (const char* ttl : {"60x", "soon", "", "-1s"}) {
    CHECK(node.Ctl(With("reserve", {"--ttl", ttl})).code == 2);
  }
  CHECK(node.Ctl(With("explain", {"--max-targets", "-1"})).code == 2);
  CHECK(node.state().creates.empty());
  CHECK(node.state().explains.empty());
  CHECK(node.state().reserves.empty());
}

TEST_CASE("explain shows every target with its score and its constraints", "[clawctl]") {
  Fixture node;
  *node.state().explanation.add_targets() = MakeExplanation("host", true);
  *node.state().explanation.add_targets() = MakeExplanation("vm-1\033[2J", false);
  const auto shown = node.Ctl(With("explain", {"--max-targets", "3"}));
  CHECK(shown.code == 0);
  CHECK(node.state().explains.at(0).max_targets() == 3);
  const auto lines = Lines(shown.out);
  REQUIRE(lines.size() == 15);
  CHECK(lines[0].starts_with("TARGET       FITS  SCORE  FIT   IMAGE  SPREAD  NATIVE  WARM"));
  CHECK(lines[1] == "host         yes   0.88   0.00  0.00   0.00    0.00    1.00  gvisor  192 MiB");
  CHECK_THAT(lines[2], Contains("vm-1\\x1b[2J  no"));
  CHECK(lines[4] == "host:");
  CHECK_THAT(lines[7], Contains("node.memory.allocatable_bytes  yes  192 MiB  64 MiB     -"));
  CHECK_THAT(lines[12], Contains("node.memory.allocatable_bytes  no   192 MiB  64 MiB"));
  CHECK_THAT(lines[12], Contains("after 5.00 s  the node is full"));
  CHECK_THAT(lines.back(), Contains("It fits") && Contains("clawctl node reserve"));
  CHECK_THAT(node.Ctl(With("explain", {"-o", "wide"})).out,
             Contains("MEMORY_EXHAUSTED") && Contains("WORKLOAD"));
  const json parsed = json::parse(node.Ctl(With("explain", {"-o", "json"})).out);
  REQUIRE(parsed["targets"].size() == 2);
  CHECK(parsed["targets"][1]["constraints"][1]["retry_after"] == "5s");
  CHECK(parsed["targets"][0]["fits"] == true);
}

TEST_CASE("explain answers 12 when no target fits, and says whether to wait", "[clawctl]") {
  Fixture node;
  CHECK(node.Ctl(With("explain", {})).code == 12);
  pb::Explanation& host = *node.state().explanation.add_targets();
  host = MakeExplanation("host", false);
  const auto waits = node.Ctl(With("explain", {}));
  CHECK(waits.code == 12);
  CHECK_THAT(waits.out, Contains("No target fits now. Ask again after 5.00 s"));
  *host.add_constraints() = MakeConstraint("image.architecture", false, "it is for arm64");
  const auto never = node.Ctl(With("explain", {}));
  CHECK(never.code == 12);
  CHECK_THAT(never.out, Contains("never by itself") && Contains("waiting alone will not"));
  const auto data = node.Ctl(With("explain", {"-o", "json"}));
  CHECK(data.code == 12);
  CHECK(json::parse(data.out)["targets"][0]["fits"] == false);
  node.state().refusals = {Refused(5, "TENANT_NOT_FOUND", "there is no tenant acme")};
  const auto unknown = node.Ctl(With("explain", {}));
  CHECK(unknown.code == 3);
  CHECK_THAT(unknown.err, Contains("clawctl node tenant add"));
}

TEST_CASE("reserve holds a place and prints it", "[clawctl]") {
  Fixture node;
  const auto made = node.Ctl(With("reserve", {"--ttl", "2m30s", "--name", "web"}));
  CHECK(made.code == 0);
  CHECK_THAT(made.out, Contains("ID:       00112233445566aa\n") &&
                           Contains("Expires:  in 2m30s, at 1970-01-12T13:52:22") &&
                           Contains("Class:    gvisor\n") &&
                           Contains("Charge:   192 MiB, of it 64 MiB for the runtime\n"));
  CHECK(node.state().reserves.at(0).ttl().seconds() == 150);
  CHECK(node.state().reserves.at(0).request_id().size() >= 32);
  CHECK(node.Ctl(With("reserve", {"-q", "--ttl", "1500ms"})).out == "00112233445566aa\n");
  CHECK(node.state().reserves.at(1).ttl().nanos() == 500'000'000);
  CHECK(node.state().reserves.at(1).request_id() != node.state().reserves.at(0).request_id());
  const json parsed = json::parse(node.Ctl(With("reserve", {"-o", "json"})).out);
  CHECK(parsed["name"] == "reservations/00112233445566aa");
  CHECK_FALSE(node.state().reserves.at(2).has_ttl());
}

TEST_CASE("a refused reservation says all that stands in its way", "[clawctl]") {
  Fixture node;
  Refusal refusal = Refused(8, "MEMORY_EXHAUSTED", "the node is full");
  refusal.detail->set_constraint("node.memory.allocatable_bytes");
  refusal.detail->mutable_retry_after()->set_seconds(5);
  refusal.explanation = MakeExplanation("host", false);
  *refusal.explanation->add_constraints() =
      MakeConstraint("tenant.quota", false, "the tenant has ten sandboxes");
  node.state().refusals = {refusal};
  const auto result = node.Ctl(With("reserve", {}));
  CHECK(result.code == 6);
  CHECK(result.out.empty());
  CHECK_THAT(result.err,
             Contains("  reason:     MEMORY_EXHAUSTED\n") &&
                 Contains("  retry:      after 5000 ms\n") &&
                 Contains("  also:       tenant.quota: the tenant has ten sandboxes\n") &&
                 Contains("  outcome:    refused, nothing was done\n") &&
                 !Contains("also:       node.memory"));
  node.state().refusals = {Refused(9, "CORDONED", "host is cordoned: new disks")};
  const auto cordoned = node.Ctl(With("reserve", {}));
  CHECK(cordoned.code == 1);
  CHECK_THAT(cordoned.err, Contains("clawctl node uncordon"));
  Refusal undone = Refused(13, "PROOF_FAILED", "it was something else");
  undone.detail->set_outcome(pb::ErrorDetail::UNDONE);
  node.state().refusals = {undone};
  CHECK_THAT(node.Ctl(With("run", {})).err, Contains("outcome:    begun, and undone"));
}

TEST_CASE("a reservation is committed or released by any of its names", "[clawctl]") {
  Fixture node;
  const auto refill = [&node] {
    node.state().reservations = {MakeReservation("aa11000000000001", "web", 60),
                                 MakeReservation("aa22000000000002", "", 60)};
  };
  refill();
  for (const char* typed : {"aa11000000000001", "reservations/aa11000000000001", "aa1", "web"}) {
    CAPTURE(typed);
    const auto result = node.Ctl({"node", "commit", typed});
    CHECK(result.code == 0);
    CHECK(result.out == "aa11000000000001\n");
    CHECK(node.state().commits.back().name() == "reservations/aa11000000000001");
    CHECK(node.state().commits.back().request_id().size() >= 32);
  }
  const json parsed = json::parse(node.Ctl({"node", "commit", "aa2", "-o", "json"}).out);
  CHECK(parsed["state"] == "SANDBOX_STATE_RUNNING");
  const auto several = node.Ctl({"node", "commit", "aa"});
  CHECK(several.code == 2);
  CHECK_THAT(several.err, Contains("several"));
  CHECK(node.Ctl({"node", "commit"}).code == 2);
  CHECK(node.Ctl({"node", "commit", ""}).code == 2);

  const auto released = node.Ctl({"node", "release", "reservations/aa2"});
  CHECK(released.code == 0);
  CHECK(released.out == "aa22000000000002\n");
  CHECK_FALSE(node.state().releases.back().allow_missing());
  CHECK(node.state().releases.back().request_id().size() >= 32);
}

TEST_CASE("a reservation that is gone is not found, unless that is as good", "[clawctl]") {
  Fixture node;
  for (const char* typed : {"aa11000000000001", "aa", "nobody"}) {
    CAPTURE(typed);
    const auto commit = node.Ctl({"node", "commit", typed});
    CHECK(commit.code == 3);
    CHECK_THAT(commit.err, Contains("clawctl node reservations"));
    CHECK(node.Ctl({"node", "release", typed}).code == 3);
    CHECK(node.Ctl({"node", "release", typed, "--allow-missing"}).code == 0);
  }
  CHECK(node.state().releases.back().allow_missing());
  node.state().refusals = {Refused(9, "COMMITTED", "it has been committed")};
  const auto committed = node.Ctl({"node", "release", "aa11000000000001", "--allow-missing"});
  CHECK(committed.code == 1);
  CHECK_THAT(committed.err, Contains("clawctl node stop"));
}

TEST_CASE("reservations are listed, and are sandboxes to ps and inspect", "[clawctl]") {
  Fixture node;
  node.state().reservations = {MakeReservation("aa11000000000001", "web", 42)};
  node.state().sandboxes = {node.state().reservations[0].sandbox()};
  CHECK(node.Ctl({"node", "reservations"}).out ==
        "ID            NAME  TENANT  IMAGE      TARGET  CLASS   CHARGE   EXPIRES-IN  AGE\n"
        "aa1100000000  web   acme    busybox:1  host    gvisor  192 MiB  42s         3m12s\n");
  CHECK_THAT(node.Ctl({"node", "reservations", "-o", "wide"}).out,
             Contains("unix:root(0)") && Contains("1970-01-12T13:50:34"));
  const json parsed = json::parse(node.Ctl({"node", "reservations", "-o", "json"}).out);
  CHECK(parsed["items"][0]["target"] == "host");
  const auto wide = node.Ctl({"node", "ps", "-a", "-o", "wide"}).out;
  CHECK_THAT(wide, Contains("reserved") && Contains("EXPIRES-IN") && Contains("  42s  "));
  node.state().sandboxes[0].mutable_spec()->set_exclusive(true);
  node.state().sandboxes[0].mutable_spec()->add_avoid_tenants("tenants/noisy");
  const auto shown = node.Ctl({"node", "inspect", "web", "-o", "table"}).out;
  CHECK_THAT(shown, Contains("reserved") && Contains("1970-01-12T13:50:34") &&
                        Contains("(42s), or a commit") && Contains("noisy") &&
                        Contains("no other tenant beside it"));
  CHECK_THAT(node.Ctl({"node", "inspect", "web"}).out, Contains("lease_expire_time"));
}

TEST_CASE("targets are listed, and with -o wide what they are asked for", "[clawctl]") {
  Fixture node;
  pb::Target target;
  target.set_name("host");
  target.set_os("linux");
  target.set_architecture("amd64");
  target.set_node_class("standard");
  target.set_running(true);
  for (const char* driver : {"gvisor", "runc"}) target.add_drivers()->set_name(driver);
  target.mutable_drivers(0)->set_healthy(true);
  target.mutable_memory()->set_allocatable_bytes(8 * kGiB);
  target.mutable_memory()->set_available_bytes(6 * kGiB);
  target.set_sandboxes(3);
  (*target.mutable_labels())["zone"] = "a";
  (*target.mutable_labels())["disk"] = "ssd";
  target.add_taints("gpu");
  target.add_images("sha256:0123456789abcdef");
  node.state().targets = {target};
  CHECK(
      node.Ctl({"node", "targets"}).out ==
      "NAME  PLATFORM     CLASS     RUNNING  DRIVERS  AVAILABLE  ALLOCATABLE  SANDBOXES  CORDONED\n"
      "host  linux/amd64  standard  yes      gvisor   6 GiB      8 GiB        3          no\n");
  CHECK_THAT(node.Ctl({"node", "targets", "-o", "wide"}).out,
             Contains("disk=ssd,zone=a  gpu     0123456789ab"));
  CHECK(json::parse(node.Ctl({"node", "targets", "-o", "json"}).out)["items"].size() == 1);
}

TEST_CASE("a node is cordoned with a reason, and shows it", "[clawctl]") {
  Fixture node;
  pb::Node& record = node.state().node;
  record.set_node_id("host-1");
  (*record.mutable_labels())["disk"] = "ssd";
  record.add_taints("gpu=a100");
  const auto cordoned = node.Ctl({"node", "cordon", "--reason", "new\033 disks"});
  CHECK(cordoned.code == 0);
  CHECK(cordoned.out ==
        "Node:      host-1\nCordoned:  by unix:root(0), 3m12s ago: new\\x1b disks\n");
  CHECK(node.state().cordons.at(0).reason() == "new\033 disks");
  CHECK(node.state().request_ids.back().size() >= 32);
  const auto status = node.Ctl({"node", "status"}).out;
  CHECK_THAT(status, Contains("Cordoned:   by unix:root(0), 3m12s ago: new\\x1b disks\n") &&
                         Contains("Labels:     disk=ssd\n") && Contains("Taints:     gpu=a100\n"));
  CHECK(json::parse(node.Ctl({"node", "cordon", "-o", "json"}).out)["cordon"]["reason"] == "");
  CHECK(node.Ctl({"node", "uncordon"}).out == "Node:      host-1\nCordoned:  no\n");
  CHECK(node.Ctl({"node", "uncordon"}).code == 0);
  CHECK_FALSE(record.has_cordon());
  CHECK(node.Ctl({"node", "cordon", "why"}).code == 2);
}

// Two changes, the second with something wrong.
void FurnishChanges(Fixture& node) {
  for (int i = 7; i <= 8; ++i) {
    pb::NodeChange& change = node.state().changes.emplace_back();
    change.set_revision(i);
    change.mutable_node()->set_ready(i == 7);
    change.mutable_node()->set_active_sandboxes(3);
    change.mutable_node()->mutable_memory()->set_charged_bytes(kGiB);
    change.mutable_node()->mutable_memory()->set_allocatable_bytes(8 * kGiB);
  }
  node.state().changes.back().mutable_node()->add_conditions("gvisor is\033 not there");
}

TEST_CASE("watch prints a line for each change", "[clawctl]") {
  Fixture node;
  FurnishChanges(node);
  const auto shown = node.Ctl({"node", "watch"});
  CHECK(shown.code == 0);
  const auto lines = Lines(shown.out);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] ==
        "1970-01-12T13:49:52.000Z  ready      1 GiB of 8 GiB         charged     3 sandboxes  -");
  CHECK_THAT(lines[1], Contains("  not ready  ") && Contains("  gvisor is\\x1b not there"));
  CHECK(node.state().node_watches.at(0).resume_revision() == 0);
  CHECK_FALSE(node.state().node_watches.at(0).has_min_interval());

  const auto data =
      node.Ctl({"node", "watch", "--since-revision", "7", "--interval", "1500ms", "-o", "json"});
  const auto objects = Lines(data.out);
  REQUIRE(objects.size() == 1);
  CHECK(json::parse(objects[0])["revision"] == "8");
  CHECK(json::parse(objects[0])["node"]["ready"] == false);
  CHECK(node.state().node_watches.at(1).resume_revision() == 7);
  CHECK(node.state().node_watches.at(1).min_interval().seconds() == 1);
  CHECK_THAT(node.Ctl({"node", "watch", "-o", "wide"}).out, Contains("7         1970-01-12T"));
  CHECK(node.Ctl({"node", "watch", "--since-revision", "-1"}).code == 2);
  CHECK(node.Ctl({"node", "watch", "--interval", "often"}).code == 2);
}

TEST_CASE("a watch that breaks is reported, one that never came is asked for again", "[clawctl]") {
  Fixture node;
  Refusal busy = Refused(14, "UNAVAILABLE", "the agent is going away");
  busy.detail->mutable_retry_after()->set_nanos(1'000'000);
  node.state().refusals = {busy};
  CHECK(node.Ctl({"node", "watch"}).code == 0);
  CHECK(node.state().node_watches.size() == 2);
  FurnishChanges(node);
  node.state().refusals = {busy};
  const auto broken = node.Ctl({"node", "watch"});
  CHECK(broken.code == 4);
  CHECK(Lines(broken.out).size() == 2);
  CHECK_THAT(broken.err, Contains("the agent is going away"));
  node.state().refusals = {Refused(11, "", "revision 9 has never been")};
  node.state().changes.clear();
  CHECK_THAT(node.Ctl({"node", "watch", "--since-revision", "9"}).err,
             Contains("leave --since-revision out"));
}

}  // namespace
}  // namespace claw::ctl::testing
