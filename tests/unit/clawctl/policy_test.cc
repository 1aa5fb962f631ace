// What a user sees of the isolation policy, and may ask of it.

#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/unit/clawctl/fixture.h"

namespace claw::ctl::testing {
namespace {

using Catch::Matchers::Contains;
using nlohmann::json;
using Words = std::vector<std::string>;

const std::string kDigits(64, 'a');

Words RunWith(const Words& more) {
  Words words = {"node", "run", "--image", "app:1", "--tenant", "acme"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Words Completed(const Fixture& node, const Words& typed) {
  Words words = {"__complete", "--"};
  words.insert(words.end(), typed.begin(), typed.end());
  return Lines(node.Ctl(words).out);
}

bool Has(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

Refusal Refused(int code, const std::string& reason, const std::string& message) {
  pb::ErrorDetail detail;
  detail.set_reason(reason);
  return {.code = code, .message = message, .detail = detail};
}

TEST_CASE("run asks for gVisor, and can ask for nothing weaker", "[clawctl]") {
  Fixture node;
  CHECK(node.Ctl(RunWith({})).code == 0);
  CHECK(node.state().creates.back().spec().isolation_class() == pb::ISOLATION_CLASS_UNSPECIFIED);
  CHECK(node.Ctl(RunWith({"--isolation", "gvisor"})).code == 0);
  CHECK(node.state().creates.back().spec().isolation_class() == pb::ISOLATION_CLASS_GVISOR);
  for (const char* weaker : {"container", "legacy-hardened", "runc", ""}) {
    CAPTURE(weaker);
    const auto result = node.Ctl(RunWith({"--isolation", weaker}));
    CHECK(result.code == 2);
    CHECK_THAT(result.err, Contains("--isolation"));
  }
  CHECK(node.state().creates.size() == 2);
}

TEST_CASE("inspect shows what was decided, from what, and by whose word", "[clawctl]") {
  Fixture node;
  pb::Sandbox sandbox = MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_RUNNING);
  sandbox.set_isolation_reason("an override by unix:root(0)\033 for this image: why");
  pb::IsolationDecision& decision = *sandbox.mutable_decision();
  decision.set_isolation_class(pb::ISOLATION_CLASS_GVISOR);
  decision.set_rule("untrusted-override");
  decision.set_trust("untrusted");
  decision.set_node_class("standard");
  decision.set_compat("STALE");
  decision.add_signers("release");
  decision.add_signers("qa");
  decision.set_override_by("unix:root(0)");
  decision.mutable_override_expire_time()->set_seconds(1'000'192 + 7200);
  node.state().sandboxes = {sandbox};
  const auto table = node.Ctl({"node", "inspect", "web", "-o", "table"});
  CHECK(table.code == 0);
  CHECK_THAT(table.out, Contains("Class:") && Contains("gvisor\n"));
  CHECK_THAT(table.out, Contains("an override by unix:root(0)\\x1b for this image: why"));
  CHECK_THAT(table.out, Contains("untrusted-override\n"));
  CHECK_THAT(table.out,
             Contains("trust untrusted, node standard, compat STALE, signers release,qa\n"));
  CHECK_THAT(table.out, Contains("by unix:root(0), for another 2h0m\n"));
  const json data = json::parse(node.Ctl({"node", "inspect", "web", "-o", "json"}).out);
  CHECK(data["decision"]["rule"] == "untrusted-override");
  CHECK(data["decision"]["isolation_class"] == "ISOLATION_CLASS_GVISOR");
  CHECK_THAT(node.Ctl({"node", "inspect", "web"}).out, Contains("rule: untrusted-override\n"));

  decision.mutable_override_expire_time()->set_seconds(1'000'192);
  node.state().sandboxes = {sandbox};
  CHECK_THAT(node.Ctl({"node", "inspect", "web", "-o", "table"}).out,
             Contains("by unix:root(0), which has expired\n"));
  decision.clear_override_by();
  decision.clear_signers();
  decision.clear_compat();
  node.state().sandboxes = {sandbox};
  const auto plain = node.Ctl({"node", "inspect", "web", "-o", "table"});
  CHECK_THAT(plain.out, Contains("compat -, signers -\n") && !Contains("Override:"));
}

TEST_CASE("an image is fetched only with the signature that was asked for", "[clawctl]") {
  Fixture node;
  pb::Image image = MakeImage(kDigits, {"app:1"});
  image.add_signers("release");
  image.add_signers("qa");
  node.state().images = {image};
  pb::ImageProgress done;
  *done.mutable_image() = image;
  node.state().progress = {done};
  CHECK(node.Ctl({"node", "image", "pull", "reg/app:1", "--signer", "release"}).code == 0);
  CHECK(node.state().pulls.back().signer() == "release");
  CHECK(node.Ctl({"node", "image", "import", "oci:/x", "--signer", "qa"}).code == 0);
  CHECK(node.state().imports.back().signer() == "qa");
  CHECK(node.Ctl({"node", "image", "pull", "reg/app:1"}).code == 0);
  CHECK(node.state().pulls.back().signer().empty());
  const auto wide = node.Ctl({"node", "image", "ls", "-o", "wide"});
  CHECK_THAT(wide.out, Contains("SIGNERS") && Contains("release,qa"));

  node.state().refusals = {Refused(9, "SIGNER_UNKNOWN", "this node's config names no signers")};
  const auto refused = node.Ctl({"node", "image", "pull", "reg/app:1", "--signer", "who"});
  CHECK(refused.code == 1);
  CHECK_THAT(refused.err, Contains("names no signers") && Contains("SIGNER_UNKNOWN"));
}

TEST_CASE("events name who did it", "[clawctl]") {
  Fixture node;
  pb::Event event;
  event.set_revision(7);
  event.set_type("tenant.trust_lowered");
  event.set_subject("tenants/acme");
  event.set_tenant("tenants/acme");
  event.set_actor("unix:ann\033(1000)");
  event.set_message("trust trusted -> untrusted");
  node.state().events = {event};
  CHECK_THAT(node.Ctl({"node", "events", "-o", "wide"}).out,
             Contains("ACTOR") && Contains("unix:ann\\x1b(1000)"));
  CHECK_THAT(node.Ctl({"node", "events"}).out, !Contains("unix:ann"));
  CHECK_THAT(node.Ctl({"node", "events", "-f", "-o", "wide"}).out, Contains("unix:ann\\x1b(1000)"));
  const json list = json::parse(node.Ctl({"node", "events", "-o", "json"}).out);
  CHECK(list["items"][0]["actor"] == "unix:ann\033(1000)");
}

TEST_CASE("completion knows the compat commands and what they are about", "[clawctl]") {
  Fixture node;
  node.state().images = {MakeImage(kDigits, {"app:1"}), MakeImage(std::string(64, 'b'), {})};
  pb::Override given;
  given.set_image("images/sha256:" + kDigits);
  node.state().overrides = {given};
  const Words compat = {"node", "compat"};
  const auto after = [&](const Words& more) {
    Words words = compat;
    words.insert(words.end(), more.begin(), more.end());
    return Completed(node, words);
  };
  CHECK(after({""}) == Words{"accept", "ls", "override", "rm", "show", "suite", "test"});
  CHECK(after({"override", ""}) == Words{"add", "ls", "rm"});
  const std::string a = "sha256:" + kDigits;
  const std::string b = "sha256:" + std::string(64, 'b');
  for (const char* command : {"test", "show", "accept", "rm"}) {
    CAPTURE(command);
    CHECK(after({command, ""}) == Words{"app:1", b});
  }
  CHECK(after({"override", "add", ""}) == Words{"app:1@" + a, a, b});
  CHECK(after({"override", "rm", ""}) == Words{a});
  CHECK(after({"override", "add", "x", "--class", ""}) == Words{"gvisor", "legacy-hardened"});
  CHECK(Has(after({"test", "--ba"}), "--baseline"));
  CHECK(Has(after({"suite", "--ju"}), "--junit"));
  CHECK(after({"ls", ""}).empty());
  CHECK(Completed(node, RunWith({"--isolation", ""})) == Words{"gvisor"});
}

TEST_CASE("a refusal of the policy says itself what would help", "[clawctl]") {
  const std::string reason =
      GENERATE(values<std::string>({"COMPAT_UNTESTED", "COMPAT_STALE", "COMPAT_DEGRADED",
                                    "COMPAT_INCOMPATIBLE", "NODE_HARDENED", "SIGNER_REQUIRED"}));
  Fixture node;
  Refusal refusal = Refused(7, reason, "test it with `clawctl node compat test app:1`");
  refusal.detail->set_constraint("untrusted-untested");
  refusal.detail->set_needed("a verdict of this node's gVisor");
  refusal.detail->set_available("UNTESTED");
  node.state().refusals = {refusal};
  const auto result = node.Ctl(RunWith({"--dry-run"}));
  CHECK(result.code == 125);
  const Words lines = Lines(result.err);
  REQUIRE(lines.size() == 5);
  CHECK(lines[0] == "clawctl: test it with `clawctl node compat test app:1`");
  CHECK(lines[1] == "  reason:     " + reason);
  CHECK(lines[2] == "  constraint: untrusted-untested");
  CHECK(lines[3] == "  needed:     a verdict of this node's gVisor");
  // The general hint is about who may call the agent at all, which is not the point here.
  CHECK(lines[4] == "  available:  UNTESTED");
}

TEST_CASE("refusals around tests and quotas have hints of their own", "[clawctl]") {
  struct Case {
    int code;
    const char* reason;
    const char* message;
    const char* hint;
  };
  const auto row = GENERATE(values<Case>({
      {5, "VERDICT_NOT_FOUND", "there is no verdict", "clawctl node compat test IMAGE"},
      {5, "OVERRIDE_NOT_FOUND", "there is no override for it", "clawctl node compat override ls"},
      {9, "PROBE_BROKEN", "it fails under runc, too", "has to pass under runc"},
      {8, "QUOTA_EXCEEDED", "tenant 'acme' has a quota", "clawctl node tenant set"},
      {8, "TOO_MANY_TESTS", "2 tests are under way", "one of them has ended"},
      {8, "MEMORY_EXHAUSTED", "no room", "clawctl node status"},
  }));
  CAPTURE(row.reason);
  Fixture node;
  node.state().images = {MakeImage(kDigits, {"app:1"})};
  node.state().refusals = {Refused(row.code, row.reason, row.message)};
  const auto result = node.Ctl({"node", "compat", "rm", "app:1"});
  CHECK(result.code != 0);
  const Words lines = Lines(result.err);
  REQUIRE(lines.size() == 3);
  CHECK_THAT(lines[2], Contains("hint:") && Contains(row.hint));
}

}  // namespace
}  // namespace claw::ctl::testing
