#include "agent/policy/hardening.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>

#include "tests/support/good_machine.h"

namespace claw::policy {
namespace {

using Catch::Contains;
using test::GoodMachine;
using test::Setting;
using Change = std::function<void(NodeFacts&)>;

// A node on which every check passes.
NodeFacts Good(NodeClass node_class) {
  NodeFacts facts;
  facts.node_class = node_class;
  facts.machine = GoodMachine();
  facts.drivers = {
      {.name = "runc", .isolation = IsolationClass::kContainer, .healthy = true},
      {.name = "gvisor", .isolation = IsolationClass::kGvisor, .healthy = true},
      {.name = "legacy",
       .isolation = IsolationClass::kLegacyHardened,
       .healthy = true,
       .capabilities = {"user-namespace", "seccomp", "no-capabilities", "no-network"}}};
  facts.page_size_bytes = 4096;
  return facts;
}

std::vector<NodeCheck> AllChecks(const NodeFacts& facts) {
  std::vector<NodeCheck> checks = CheckNode(facts);
  for (NodeCheck& check : CheckHardening(facts)) checks.push_back(std::move(check));
  return checks;
}

std::vector<NodeCheck> Complaints(const NodeFacts& facts) {
  std::vector<NodeCheck> found;
  for (NodeCheck& check : AllChecks(facts)) {
    CAPTURE(check.id);
    CHECK_FALSE(check.title.empty());
    CHECK_FALSE(check.evidence.empty());
    CHECK(check.fix.empty() == (check.outcome == CheckOutcome::kPassed));
    if (check.outcome != CheckOutcome::kPassed) found.push_back(std::move(check));
  }
  return found;
}

// Changes one setting of the kernel.
Change Kernel(const std::string& name, const KernelSetting& setting) {
  return [name, setting](NodeFacts& facts) { facts.machine->settings[name] = setting; };
}

Change Legacy(const std::function<void(DriverFacts&)>& change) {
  return [change](NodeFacts& facts) { change(facts.drivers[2]); };
}

Change Lacks(const std::string& capability) {
  return Legacy([capability](DriverFacts& driver) { std::erase(driver.capabilities, capability); });
}

struct Case {
  std::string id;
  Change change;
  std::string evidence;
  std::string fix;
};

// What keeps a node from being hardened.
std::vector<Case> ForHardened() {
  const KernelSetting unreadable{.value = "permission denied"};
  return {
      {"kernel.unprivileged-bpf", Kernel("kernel.unprivileged_bpf_disabled", Setting("0")),
       "kernel.unprivileged_bpf_disabled is 0", "sysctl -w kernel.unprivileged_bpf_disabled=1"},
      {"kernel.unprivileged-bpf", Kernel("kernel.unprivileged_bpf_disabled", Setting("on")),
       "is on", "sysctl -w"},
      {"kernel.unprivileged-bpf", Kernel("kernel.unprivileged_bpf_disabled", unreadable),
       "cannot be read: permission denied", "sysctl -w"},
      {"kernel.kexec", Kernel("kernel.kexec_load_disabled", Setting("0")),
       "kernel.kexec_load_disabled is 0", "sysctl -w kernel.kexec_load_disabled=1"},
      {"kernel.kexec",
       [](NodeFacts& facts) { facts.machine->settings.erase("kernel.kexec_load_disabled"); },
       "nobody read it", "sysctl -w"},
      {"kernel.core-pattern", Kernel("kernel.core_pattern", Setting("|/usr/bin/crash %p")),
       "is |/usr/bin/crash", "sysctl -w kernel.core_pattern=core"},
      {"kernel.core-pattern", Kernel("kernel.core_pattern", Setting("@/run/crash.sock")), "is @",
       "sysctl -w"},
      {"kernel.core-pattern", Kernel("kernel.core_pattern", unreadable), "cannot be read",
       "sysctl -w"},
      {"legacy.user-namespace", Lacks("user-namespace"), "does not claim it", "drivers.runc"},
      {"legacy.seccomp", Lacks("seccomp"), "does not claim it", "driver.legacy"},
      {"legacy.no-capabilities", Lacks("no-capabilities"), "does not claim it", "driver.legacy"},
      {"legacy.network", Lacks("no-network"), "does not claim it", "driver.legacy"},
      {"node.one-tenant",
       [](NodeFacts& facts) {
         facts.sandboxes = {
             {.id = "1", .tenant = "a", .isolation = IsolationClass::kLegacyHardened},
             {.id = "2", .tenant = "b", .isolation = IsolationClass::kLegacyHardened}};
       },
       "a, b", "remove the sandboxes"},
      {"node.no-mounts",
       [](NodeFacts& facts) {
         facts.sandboxes = {{.id = "1",
                             .tenant = "a",
                             .isolation = IsolationClass::kLegacyHardened,
                             .has_mounts = true}};
       },
       "1", "remove these"},
      {"node.legacy-only",
       [](NodeFacts& facts) {
         facts.sandboxes = {{.id = "7", .tenant = "a", .isolation = IsolationClass::kGvisor}};
       },
       "7", "remove these"},
  };
}

TEST_CASE("on a good node nothing is to be mended") {
  const NodeClass node_class = GENERATE(NodeClass::kStandard, NodeClass::kHardened);
  NodeFacts facts = Good(node_class);
  CHECK(Complaints(facts).empty());
  // One tenant's legacy code is what a hardened node is for.
  facts.sandboxes = {{.id = "1", .tenant = "a", .isolation = IsolationClass::kLegacyHardened},
                     {.id = "2", .tenant = "a", .isolation = IsolationClass::kLegacyHardened}};
  CHECK(Complaints(facts).empty());
  CHECK(HardeningProblem(facts) ==
        (node_class == NodeClass::kHardened ? "" : "its config says standard"));
}

TEST_CASE("what a hardened node has to have fails alone, and says how to mend it") {
  for (const Case& one : ForHardened()) {
    CAPTURE(one.id, one.evidence);
    NodeFacts facts = Good(NodeClass::kHardened);
    one.change(facts);
    const std::vector<NodeCheck> found = Complaints(facts);
    REQUIRE(found.size() == 1);
    CHECK(found[0].id == one.id);
    CHECK(found[0].outcome == CheckOutcome::kFailed);
    CHECK(found[0].for_hardened);
    CHECK_THAT(found[0].evidence, Contains(one.evidence));
    CHECK_THAT(found[0].fix, Contains(one.fix));
    CHECK_THAT(HardeningProblem(facts), Contains(found[0].title) && Contains(found[0].evidence));
  }
}

TEST_CASE("on a standard node the same is a warning, and its sandboxes are nobody's business") {
  for (const Case& one : ForHardened()) {
    CAPTURE(one.id, one.evidence);
    NodeFacts facts = Good(NodeClass::kStandard);
    one.change(facts);
    const std::vector<NodeCheck> found = Complaints(facts);
    if (one.id.starts_with("node.")) {
      CHECK(found.empty());
      continue;
    }
    REQUIRE(found.size() == 1);
    CHECK(found[0].outcome == CheckOutcome::kWarning);
  }
}

TEST_CASE("every requirement of a hardened node has a case of its own here") {
  std::vector<std::string> required;
  for (const NodeCheck& check : CheckHardening(Good(NodeClass::kHardened))) {
    if (check.for_hardened) required.push_back(check.id);
  }
  for (const std::string& id : required) {
    CAPTURE(id);
    const std::vector<Case> cases = ForHardened();
    // Without Linux there is nothing to change a setting of.
    CHECK((id == "node.linux" || std::any_of(cases.begin(), cases.end(),
                                             [&id](const Case& one) { return one.id == id; })));
  }
}

TEST_CASE("a setting that a kernel lacks is fine where the danger is gone with it") {
  const KernelSetting absent{.state = KernelSetting::State::kAbsent};
  NodeFacts facts = Good(NodeClass::kHardened);
  for (const char* name :
       {"kernel.unprivileged_bpf_disabled", "kernel.kexec_load_disabled", "kernel.core_pattern",
        "kernel.perf_event_paranoid", "kernel.modules_disabled", "vm.unprivileged_userfaultfd"}) {
    Kernel(name, absent)(facts);
  }
  CHECK(Complaints(facts).empty());
  for (const char* name : {"kernel.yama.ptrace_scope", "kernel.io_uring_disabled",
                           "fs.protected_fifos", "fs.suid_dumpable"}) {
    NodeFacts other = Good(NodeClass::kHardened);
    Kernel(name, absent)(other);
    const std::vector<NodeCheck> found = Complaints(other);
    CAPTURE(name);
    REQUIRE(found.size() == 1);
    CHECK(found[0].outcome == CheckOutcome::kWarning);
  }
}

TEST_CASE("what would be good to have is a warning on either class") {
  const auto machine = [](const std::function<void(MachineFacts&)>& change) {
    return [change](NodeFacts& facts) { change(*facts.machine); };
  };
  const std::vector<Case> cases = {
      {"kernel.kptr-restrict", Kernel("kernel.kptr_restrict", Setting("0")), "is 0", "=1"},
      {"kernel.dmesg-restrict", Kernel("kernel.dmesg_restrict", Setting("0")), "is 0", "=1"},
      {"kernel.ptrace-scope", Kernel("kernel.yama.ptrace_scope", Setting("0")), "is 0", "=1"},
      {"kernel.perf-event-paranoid", Kernel("kernel.perf_event_paranoid", Setting("-1")), "is -1",
       "=2"},
      {"kernel.io-uring", Kernel("kernel.io_uring_disabled", Setting("0")), "is 0", "=1"},
      {"kernel.modules-disabled", Kernel("kernel.modules_disabled", Setting("0")), "is 0", "=1"},
      {"fs.protected-symlinks", Kernel("fs.protected_symlinks", Setting("0")), "is 0", "=1"},
      {"fs.protected-hardlinks", Kernel("fs.protected_hardlinks", Setting("0")), "is 0", "=1"},
      {"fs.protected-fifos", Kernel("fs.protected_fifos", Setting("0")), "is 0", "=1"},
      {"fs.protected-regular", Kernel("fs.protected_regular", Setting("0")), "is 0", "=1"},
      {"fs.suid-dumpable", Kernel("fs.suid_dumpable", Setting("2")), "is 2", "=0"},
      {"vm.userfaultfd", Kernel("vm.unprivileged_userfaultfd", Setting("1")), "is 1", "=0"},
      {"kernel.lockdown", machine([](auto& facts) { facts.lockdown = Setting("none"); }),
       "it is not", "lockdown=integrity"},
      {"kernel.lockdown", machine([](auto& facts) { facts.lockdown = {}; }), "it is not",
       "lockdown=integrity"},
      {"memory.swap", machine([](auto& facts) { facts.swap_on = true; }), "swap is on", "swapoff"},
      {"time.synchronised", machine([](auto& facts) { facts.clock_is_synchronised = false; }),
       "nobody sets it", "NTP"},
      {"time.synchronised", machine([](auto& facts) { facts.clock_is_synchronised.reset(); }),
       "not known", "NTP"},
      {"disk.state", machine([](auto& facts) { facts.state_dir.free_bytes = kGiB - 1; }), "free",
       "image gc"},
  };
  for (const NodeClass node_class : {NodeClass::kStandard, NodeClass::kHardened}) {
    for (const Case& one : cases) {
      CAPTURE(one.id, one.evidence);
      NodeFacts facts = Good(node_class);
      one.change(facts);
      const std::vector<NodeCheck> found = Complaints(facts);
      REQUIRE(found.size() == 1);
      CHECK(found[0].id == one.id);
      CHECK(found[0].outcome == CheckOutcome::kWarning);
      CHECK_THAT(found[0].evidence, Contains(one.evidence));
      CHECK_THAT(found[0].fix, Contains(one.fix));
    }
  }
}

TEST_CASE("what any node needs fails alone, and says how to mend it") {
  const auto machine = [](const std::function<void(MachineFacts&)>& change) {
    return [change](NodeFacts& facts) { change(*facts.machine); };
  };
  const std::vector<Case> cases = {
      {"driver.gvisor",
       [](NodeFacts& facts) {
         facts.drivers[1].healthy = false;
         facts.drivers[1].message = "no runsc";
       },
       "no runsc", "restart the agent"},
      {"memory.page-size", [](NodeFacts& facts) { facts.page_size_bytes = 16384; }, "16384 bytes",
       "4 KiB"},
      {"store.writes", [](NodeFacts& facts) { facts.store_problem = "disk full"; }, "disk full",
       "state folder"},
      {"cgroup.controllers", machine([](auto& facts) { facts.controllers = {"cpu"}; }),
       "not on: memory, pids", "cgroup_enable=memory"},
      {"folder.state", machine([](auto& facts) { facts.state_dir.mode = 0750; }),
       "/state has mode 0750, owner 0", "chmod 0700 /state"},
      {"folder.state", machine([](auto& facts) { facts.state_dir.uid = 1000; }), "owner 1000",
       "chown root /state"},
      {"folder.state", machine([](auto& facts) { facts.state_dir.exists = false; }),
       "/state is not there", "/state"},
      {"folder.run", machine([](auto& facts) { facts.run_dir.mode = 0700; }), "/run has mode 0700",
       "chmod 0711 /run"},
      {"folder.run", machine([](auto& facts) { facts.run_dir.mode = 0755; }), "has mode 0755",
       "chmod 0711 /run"},
      {"folder.run", machine([](auto& facts) { facts.run_dir.mode = 0733; }), "has mode 0733",
       "chmod 0711 /run"},
      {"folder.run", machine([](auto& facts) { facts.run_dir.exists = false; }),
       "/run is not there", "/run"},
      {"disk.state", machine([](auto& facts) { facts.state_dir.free_bytes = 64 * kMiB - 1; }),
       "free", "image gc"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.id, one.evidence);
    NodeFacts facts = Good(NodeClass::kStandard);
    one.change(facts);
    const std::vector<NodeCheck> found = Complaints(facts);
    REQUIRE(found.size() == 1);
    CHECK(found[0].id == one.id);
    CHECK(found[0].outcome == CheckOutcome::kFailed);
    CHECK_FALSE(found[0].for_hardened);
    CHECK_THAT(found[0].evidence, Contains(one.evidence));
    CHECK_THAT(found[0].fix, Contains(one.fix));
  }
}

TEST_CASE("swap that is not counted goes beyond a sandbox's limit") {
  NodeFacts facts = Good(NodeClass::kStandard);
  facts.machine->swap_on = true;
  facts.machine->swap_is_accounted.reset();
  const std::vector<NodeCheck> found = Complaints(facts);
  REQUIRE(found.size() == 2);
  CHECK(found[0].id == "cgroup.swap");
  CHECK(found[1].id == "memory.swap");
}

TEST_CASE("a hardened node of which nothing is known is none") {
  NodeFacts facts = Good(NodeClass::kHardened);
  facts.machine = Internal("no /proc");
  std::vector<NodeCheck> found = Complaints(facts);
  REQUIRE(found.size() == 1);
  CHECK(found[0].id == "kernel.settings");
  CHECK_THAT(HardeningProblem(facts), Contains("no /proc"));
  CHECK_FALSE(HardeningProblem(NodeFacts{.node_class = NodeClass::kHardened}).empty());

  facts.machine = MachineFacts{.os = "darwin"};
  CHECK_THAT(HardeningProblem(facts), Contains("the node runs Linux"));
  facts = Good(NodeClass::kHardened);
  facts.drivers.pop_back();
  CHECK(Complaints(facts).size() == 4);
  CHECK_THAT(HardeningProblem(facts), Contains("there is no driver for legacy code"));
  facts = Good(NodeClass::kHardened);
  Legacy([](DriverFacts& driver) {
    driver.healthy = false;
    driver.message = "no runc";
  })(facts);
  // What an unhealthy driver claims is worth nothing.
  CHECK_THAT(HardeningProblem(facts), Contains("driver legacy: no runc"));
}

}  // namespace
}  // namespace claw::policy
