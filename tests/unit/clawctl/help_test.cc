#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>

#include "tests/unit/clawctl/fixture.h"

namespace claw::ctl::testing {
namespace {

using Catch::Matchers::Contains;
using Words = std::vector<std::string>;

// The commands that the help of `path` lists.
Words Listed(const std::string& help) {
  Words names;
  bool inside = false;
  for (const std::string& line : Lines(help)) {
    if (line.starts_with("Subcommands:")) {
      inside = true;
    } else if (inside && line.starts_with("  ") && line[2] != ' ') {
      names.push_back(line.substr(2, line.find(' ', 2) - 2));
    } else if (line.empty()) {
      inside = false;
    }
  }
  return names;
}

// Walks the tree of commands; answers how many there are.
int CheckHelp(const Fixture& node, const Words& path) {
  Words words = path;
  words.emplace_back("--help");
  const auto result = node.Ctl(words);
  CAPTURE(path);
  CHECK(result.code == 0);
  CHECK_THAT(result.out, Contains("Example") && Contains("Usage: clawctl"));
  int count = 1;
  for (const std::string& name : Listed(result.out)) {
    Words deeper = path;
    deeper.push_back(name);
    count += CheckHelp(node, deeper);
  }
  return count;
}

Words Completed(const Fixture& node, const Words& typed) {
  Words words = {"__complete", "--"};
  words.insert(words.end(), typed.begin(), typed.end());
  return Lines(node.Ctl(words).out);
}

bool Has(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

TEST_CASE("every command explains itself with an example", "[clawctl]") {
  const Fixture node;
  // clawctl, completion, node and its twenty-nine commands, five of tenant, six of image, seven of
  // compat, three of override, three of network, four of policy,
  // twelve of vm.
  CHECK(CheckHelp(node, {}) == 77);
  CHECK_THAT(node.Ctl({"--help"}).out, Contains("Exit codes:") && Contains("CLAWLET_SOCKET"));
  CHECK_THAT(node.Ctl({"node", "run", "--help"}).out,
             Contains("[-- CMD ARGS...]") && Contains("=128Mi"));
  for (const char* command : {"run", "explain", "reserve"}) {
    const std::string help = node.Ctl({"node", command, "--help"}).out;
    CHECK_THAT(help, Contains("[-- CMD ARGS...]") && Contains("--node-selector KEY=VALUE") &&
                         Contains("--exclusive") && Contains("--memory-request") &&
                         Contains("--allow-to RULE") && Contains("-p,--publish"));
  }
  CHECK_THAT(node.Ctl({"node", "budget", "explain", "--help"}).out, !Contains("-- CMD"));
}

TEST_CASE("a command line without a command is a usage error", "[clawctl]") {
  const Fixture node;
  for (const Words& words :
       {Words{}, Words{"node"}, Words{"node", "image"}, Words{"node", "frob"}}) {
    const auto result = node.Ctl(words);
    CHECK(result.code == 2);
    CHECK_THAT(result.err, Contains("--help"));
  }
  CHECK(node.Ctl({"node", "ps", "-o", "xml"}).code == 2);
}

TEST_CASE("completion knows commands and options", "[clawctl]") {
  const Fixture node;
  CHECK(Completed(node, {"no"}) == Words{"node"});
  CHECK_FALSE(Has(Completed(node, {""}), "__complete"));
  CHECK(Completed(node, {"node", "im"}) == Words{"image"});
  CHECK(Completed(node, {"node", "image", "i"}) == Words{"import", "inspect"});
  CHECK(Has(Completed(node, {"node", "run", "--t"}), "--tenant"));
  CHECK(Has(Completed(node, {"node", "run", "--so"}), "--socket"));
  CHECK(Completed(node, {"node", "ps", "-o", ""}) == Words{"json", "table", "wide", "yaml"});
  CHECK(Completed(node, {"node", "tenant", "add", "x", "--trust", "t"}) == Words{"trusted"});
  CHECK(Completed(node, {"completion", ""}) == Words{"bash", "zsh"});
  CHECK(Completed(node, {"node", "exec", "web", "--", "l"}).empty());
}

TEST_CASE("completion asks the agent for names", "[clawctl]") {
  Fixture node;
  node.state().tenants = {MakeTenant("acme", pb::TRUST_UNTRUSTED),
                          MakeTenant("lab", pb::TRUST_TRUSTED)};
  node.state().sandboxes = {MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_RUNNING),
                            MakeSandbox("bb22000000000002", "", pb::SANDBOX_STATE_EXITED)};
  node.state().images = {MakeImage("abcdef0123456789", {"busybox:1", "bad\nname"})};
  node.state().reservations = {MakeReservation("cc33000000000003", "", 60)};
  CHECK(Completed(node, {"node", "run", "--tenant", ""}) == Words{"acme", "lab"});
  CHECK(Completed(node, {"node", "run", "--image", ""}) == Words{"busybox:1"});
  CHECK(Completed(node, {"node", "reserve", "--avoid-tenant", "l"}) == Words{"lab"});
  CHECK(Completed(node, {"node", "commit", ""}) == Words{"cc33000000000003"});
  CHECK(Completed(node, {"node", "stop", ""}) == Words{"bb22000000000002", "web"});
  CHECK(Completed(node, {"node", "stop", "--grace", "1s", "w"}) == Words{"web"});
  CHECK(Completed(node, {"node", "tenant", "rm", "l"}) == Words{"lab"});
  node.state().policies.emplace_back().set_name("networkPolicies/db");
  node.state().policies.emplace_back().set_name("networkPolicies/web");
  CHECK(Completed(node, {"node", "network", "policy", "rm", ""}) == Words{"db", "web"});
  CHECK(Completed(node, {"node", "tenant", "set", "lab", "--network-policy", "w"}) == Words{"web"});
  CHECK(Completed(node, {"node", "network", "show", "w"}) == Words{"web"});
  CHECK(Completed(node, {"node", "run", "--network", ""}) == Words{"bridge", "none"});
  CHECK(Completed(node, {"node", "image", "rm", ""}) == Words{"busybox:1"});
  node.StopAgent();
  const auto result = node.Ctl({"__complete", "--", "node", "stop", ""});
  CHECK(result.code == 0);
  CHECK(result.out.empty());
}

TEST_CASE("completion scripts are printed for both shells", "[clawctl]") {
  const Fixture node;
  CHECK_THAT(node.Ctl({"completion", "bash"}).out,
             Contains("complete -o default -F _clawctl clawctl"));
  CHECK_THAT(node.Ctl({"node", "completion", "zsh"}).out,
             Contains("compdef _clawctl clawctl") &&
                 Contains("clawctl __complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null"));
  CHECK(node.Ctl({"completion", "fish"}).code == 2);
}

}  // namespace
}  // namespace claw::ctl::testing
