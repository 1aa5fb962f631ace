#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "agent/base/bytes.h"
#include "tests/unit/clawctl/fixture.h"

namespace claw::ctl::testing {
namespace {

using Catch::Matchers::Contains;
using nlohmann::json;

CtlResult Vm(const Fixture& node, std::vector<std::string> words) {
  words.insert(words.begin(), {"node", "vm"});
  return node.Ctl(words);
}

pb::Vm MakeVm(const std::string& name) {
  pb::Vm vm;
  vm.set_name("vms/" + name);
  vm.mutable_spec()->set_display_name(name);
  vm.mutable_spec()->set_cpus(2);
  vm.mutable_spec()->set_memory_bytes(2 * kGiB);
  vm.mutable_spec()->set_disk_bytes(8 * kGiB);
  vm.set_state(pb::VM_STATE_RUNNING);
  vm.set_domain_type("qemu");
  vm.set_emulated(true);
  vm.set_charged_bytes(2 * kGiB + 256 * kMiB);
  vm.set_image_digest("sha256:0123456789abcdef0123456789abcdef");
  vm.mutable_memory()->set_resident_bytes(600 * kMiB);
  pb::GuestSummary* guest = vm.mutable_guest();
  guest->set_agent_version("0.1.0");
  guest->set_architecture("arm64");
  guest->set_active_sandboxes(3);
  guest->mutable_memory()->set_available_bytes(kGiB);
  guest->set_pressure("calm");
  guest->set_ready(true);
  return vm;
}

TEST_CASE("vm ls shows what VMs are charged and what their guests say", "[clawctl]") {
  Fixture node;
  node.state().vms = {MakeVm("mac1"), MakeVm("mac2")};
  node.state().vms[1].clear_guest();
  node.state().vms[1].set_image_outdated(true);
  node.state().vms[1].mutable_cordon()->set_reason("old");
  node.state().vms[0].mutable_memory()->set_balloon_bytes(1536 * kMiB);
  node.state().vms[0].mutable_memory()->set_balloon_target_bytes(kGiB);
  node.state().vms[0].mutable_memory()->set_overhead_bytes(90 * kMiB);
  node.state().vms[0].mutable_memory()->set_measured_overhead_bytes(110 * kMiB);
  const CtlResult list = Vm(node, {"ls"});
  INFO(list.err);
  REQUIRE(list.code == 0);
  const auto lines = Lines(list.out);
  REQUIRE(lines.size() == 3);
  CHECK_THAT(lines[1], Contains("mac1") && Contains("running") && Contains("qemu (emulated)") &&
                           Contains("2.2 GiB") && Contains(" 3 ") && Contains("1 GiB"));
  CHECK_THAT(lines[2], Contains("running,cordoned,old-image") && Contains(" - "));
  CHECK_THAT(Vm(node, {"ls", "-o", "wide"}).out, Contains("600 MiB") && Contains("PRESSURE") &&
                                                     Contains("1.5 GiB") && Contains("110 MiB"));
  const json all = json::parse(Vm(node, {"ls", "-o", "json"}).out);
  CHECK(all.at("items").size() == 2);
  CHECK_THAT(Vm(node, {"inspect", "mac1"}).out, Contains("clawlet 0.1.0 on arm64") &&
                                                    Contains("its processor is emulated") &&
                                                    Contains("has 1.5 GiB, and is to have 1 GiB") &&
                                                    Contains("90 MiB now, 110 MiB at the most"));
  CHECK_THAT(Vm(node, {"inspect", "mac2"}).out, Contains("does not answer"));
}

TEST_CASE("status and top show VMs, and whose guests are under pressure", "[clawctl]") {
  Fixture node;
  CHECK(node.Ctl({"node", "status"}).out.find("VMs") == std::string::npos);
  CHECK(node.Ctl({"node", "top", "--once", "--interval", "1ms"}).out.find("VMs") ==
        std::string::npos);
  node.state().vms = {MakeVm("mac1"), MakeVm("mac2"), MakeVm("mac3")};
  node.state().vms[2].set_state(pb::VM_STATE_STOPPED);
  node.state().vms[2].set_charged_bytes(0);
  CHECK_THAT(node.Ctl({"node", "status"}).out,
             Contains("2 running of 3, 4.5 GiB charged; guests are calm"));
  node.state().vms[0].mutable_guest()->set_pressure("refuse");
  node.state().vms[1].clear_guest();
  const char* told = "mac1 under pressure (refuse), mac2 does not answer";
  CHECK_THAT(node.Ctl({"node", "status"}).out, Contains(told));
  CHECK_THAT(node.Ctl({"node", "top", "--once", "--interval", "1ms"}).out, Contains(told));
  const CtlResult data = node.Ctl({"node", "top", "--once", "--interval", "1ms", "-o", "json"});
  CHECK(json::accept(data.out));
}

TEST_CASE("vm create hands on what was asked, and starts it", "[clawctl]") {
  Fixture node;
  const CtlResult made =
      Vm(node, {"create", "mac1", "--cpus", "4", "--memory", "8Gi", "--disk", "40Gi", "--start"});
  INFO(made.err);
  REQUIRE(made.code == 0);
  REQUIRE(node.state().vm_creates.size() == 1);
  const pb::VmSpec& spec = node.state().vm_creates[0].spec();
  CHECK(spec.display_name() == "mac1");
  CHECK(spec.cpus() == 4);
  CHECK(spec.memory_bytes() == 8 * kGiB);
  CHECK(spec.disk_bytes() == 40 * kGiB);
  CHECK_THAT(made.out, Contains("running"));
  CHECK_THAT(made.err, Contains("waiting for the guest's agent"));
  CHECK(Vm(node, {"create", "two", "--dry-run"}).code == 0);
  CHECK(node.state().vm_creates[1].validate_only());
  CHECK(node.state().vms.size() == 1);
  CHECK(Vm(node, {"create", "three", "--memory", "lots"}).code == 2);
  CHECK(Vm(node, {"create"}).code == 2);
}

TEST_CASE("vm start, suspend, drain, stop and rm", "[clawctl]") {
  Fixture node;
  node.state().vms = {MakeVm("mac1")};
  CHECK_THAT(Vm(node, {"suspend", "mac1"}).out, Contains("suspended"));
  const CtlResult started = Vm(node, {"start", "vms/mac1", "-q"});
  CHECK(started.code == 0);
  CHECK(started.err.empty());
  CHECK_THAT(Vm(node, {"drain", "mac1", "--reason", "why"}).out, Contains("is drained: why"));
  CHECK_THAT(Vm(node, {"uncordon", "mac1"}).out, !Contains("cordoned"));
  CHECK_THAT(Vm(node, {"cordon", "mac1", "--reason", "slow"}).out, Contains("slow"));
  CHECK_THAT(Vm(node, {"stop", "mac1", "--grace", "1m30s", "--force"}).out, Contains("stopped"));
  REQUIRE(node.state().vm_stops.size() == 1);
  CHECK(node.state().vm_stops[0].grace_period().seconds() == 90);
  CHECK(node.state().vm_stops[0].force());
  CHECK_THAT(Vm(node, {"restart-agent", "mac1"}).out, Contains("running"));
  CHECK(Vm(node, {"restart-agent", "mac1", "--force"}).code == 0);
  REQUIRE(node.state().agent_restarts.size() == 2);
  CHECK_FALSE(node.state().agent_restarts[0].at_once());
  CHECK(node.state().agent_restarts[1].at_once());
  CHECK(Vm(node, {"rm", "mac1", "-f"}).out == "mac1\n");
  CHECK(node.state().forced);
  const CtlResult gone = Vm(node, {"rm", "mac1"});
  CHECK(gone.code == 3);
  CHECK_THAT(gone.err, Contains("clawctl node vm ls"));
}

TEST_CASE("vm console prints what came as it came; vm image shows its parts", "[clawctl]") {
  Fixture node;
  node.state().vms = {MakeVm("mac1")};
  CHECK(Vm(node, {"console", "mac1"}).out == "clawguest: Linux 6.1\r\n");
  CHECK_THAT(Vm(node, {"console", "mac1", "--tail", "4Ki"}).out, Contains("tail"));
  CHECK_THAT(Vm(node, {"image"}).out, Contains("sha256:abc") && !Contains("runsc"));
  CHECK_THAT(Vm(node, {"image", "-o", "wide"}).out, Contains("runsc") && Contains("0.0~2022"));
  const CtlResult completed = node.Ctl({"__complete", "--", "node", "vm", "start", "ma"});
  CHECK(completed.out == "mac1\n");
}

}  // namespace
}  // namespace claw::ctl::testing
