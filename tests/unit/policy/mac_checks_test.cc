#include <catch2/catch.hpp>
#include <map>

#include "agent/base/bytes.h"
#include "agent/policy/hardening.h"

namespace claw::policy {
namespace {

using Catch::Contains;

MacFacts GoodMac() {
  return {.model = "Mac15,6",
          .chip = "Apple M3 Pro",
          .chip_generation = 3,
          .performance_cores = 6,
          .efficiency_cores = 6,
          .memory_bytes = 36 * kGiB,
          .page_size_bytes = 16384,
          .os_version = "15.1",
          .hypervisor = true,
          .nested_virtualisation = true,
          .memory_level = MacMemoryLevel::kNormal,
          .programs = {.emulator = "/opt/homebrew/bin/qemu-system-aarch64",
                       .firmware = "/opt/homebrew/share/qemu/edk2-aarch64-code.fd",
                       .libvirt = "/opt/homebrew/lib/libvirt.0.dylib"}};
}

NodeFacts GoodNode() {
  MachineFacts machine;
  machine.os = "darwin";
  machine.mac = GoodMac();
  machine.state_dir = {.path = "/s", .exists = true, .mode = 0700, .free_bytes = 10 * kGiB};
  machine.run_dir = {.path = "/r", .exists = true, .mode = 0711, .free_bytes = 10 * kGiB};
  NodeFacts facts;
  facts.machine = machine;
  facts.page_size_bytes = 16384;
  facts.vms = VmFacts{.hypervisor = "libvirt 10.0.0, QEMU 9.0.0, hvf", .image = "sha256:1"};
  return facts;
}

std::map<std::string, NodeCheck> Complaints(const NodeFacts& facts) {
  std::map<std::string, NodeCheck> found;
  std::vector<NodeCheck> checks = CheckNode(facts);
  for (NodeCheck& check : CheckHardening(facts)) checks.push_back(std::move(check));
  for (NodeCheck& check : checks) {
    CAPTURE(check.id);
    CHECK_FALSE(check.title.empty());
    CHECK_FALSE(check.evidence.empty());
    CHECK(check.fix.empty() == (check.outcome == CheckOutcome::kPassed));
    const std::string id = check.id;
    if (check.outcome != CheckOutcome::kPassed) found.emplace(id, std::move(check));
  }
  return found;
}

const NodeCheck& Only(const std::map<std::string, NodeCheck>& checks, const std::string& id) {
  CAPTURE(id);
  REQUIRE(checks.count(id) == 1);
  return checks.at(id);
}

// A Mac can be no hardened node, and is told so once.
std::map<std::string, NodeCheck> WithoutHardening(const NodeFacts& facts) {
  auto found = Complaints(facts);
  found.erase("node.linux");
  for (auto it = found.begin(); it != found.end();) {
    it = it->second.for_hardened ? found.erase(it) : std::next(it);
  }
  return found;
}

TEST_CASE("a good Mac passes, with notes on pages and on guests in guests") {
  const NodeFacts facts = GoodNode();
  for (const auto& [id, check] : WithoutHardening(facts)) {
    CAPTURE(id, check.evidence);
    CHECK(false);
  }
  std::map<std::string, std::string> evidence;
  for (const NodeCheck& check : CheckNode(facts)) evidence[check.id] = check.evidence;
  CHECK(evidence.at("mac.nested") == "they can");
  CHECK_THAT(evidence.at("mac.page-size"), Contains("16384 bytes here"));
  CHECK_THAT(evidence.at("vm.hypervisor"), Contains("hvf"));
  CHECK(evidence.count("cgroup.controllers") == 0);
  CHECK(evidence.count("folder.state") == 1);
}

TEST_CASE("what a Mac lacks for VMs fails, and says what to do") {
  NodeFacts facts = GoodNode();
  MacFacts& mac = *facts.machine->mac;
  SECTION("a guest, or a Mac without the hypervisor") {
    mac.hypervisor = false;
    CHECK(Only(WithoutHardening(facts), "mac.hypervisor").outcome == CheckOutcome::kFailed);
  }
  SECTION("a chip that is not Apple's") {
    mac.chip = "Intel(R) Core(TM) i7";
    mac.chip_generation = 0;
    CHECK_THAT(Only(WithoutHardening(facts), "mac.chip").evidence, Contains("Intel"));
  }
  SECTION("Homebrew's packages") {
    mac.programs = {};
    facts.vms->hypervisor_problem = "VMs need libvirt";
    const auto found = WithoutHardening(facts);
    CHECK(found.size() == 4);
    for (const char* id : {"mac.libvirt", "mac.emulator"}) {
      CHECK(Only(found, id).outcome == CheckOutcome::kFailed);
      CHECK_THAT(Only(found, id).fix, Contains("brew bundle"));
    }
    CHECK(Only(found, "mac.firmware").outcome == CheckOutcome::kWarning);
    CHECK(Only(found, "vm.hypervisor").evidence == "VMs need libvirt");
  }
  SECTION("an emulator elsewhere is libvirt's to find") {
    mac.programs.emulator = "";
    CHECK(WithoutHardening(facts).empty());
  }
  SECTION("the guests' image") {
    facts.vms->image_problem = "there is none";
    CHECK_THAT(Only(WithoutHardening(facts), "vm.image").fix, Contains("tools/guest-image"));
  }
  SECTION("VMs that are turned off") {
    facts.vms.reset();
    CHECK(Only(WithoutHardening(facts), "vm.enabled").outcome == CheckOutcome::kFailed);
  }
}

TEST_CASE("little memory, and pressure, are warnings") {
  NodeFacts facts = GoodNode();
  facts.machine->mac->memory_bytes = 4 * kGiB;
  facts.machine->mac->memory_level = MacMemoryLevel::kCritical;
  const auto found = WithoutHardening(facts);
  CHECK(found.size() == 2);
  CHECK(Only(found, "mac.memory").outcome == CheckOutcome::kWarning);
  CHECK(Only(found, "mac.memory-pressure").outcome == CheckOutcome::kWarning);
  CHECK_THAT(found.at("mac.memory-pressure").evidence, Contains("critical"));
}

TEST_CASE("a Mac whose guests can have none of their own is as good") {
  NodeFacts facts = GoodNode();
  facts.machine->mac->nested_virtualisation = false;
  CHECK(WithoutHardening(facts).empty());
}

}  // namespace
}  // namespace claw::policy
