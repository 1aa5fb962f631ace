#include "agent/lifecycle/vms.h"
#include "tests/unit/rpc/service_fixture.h"

namespace claw::test {
namespace {

class VmFixture : public ServiceFixture {
 public:
  struct Answer {
    grpc::Status status;
    pb::Vm vm;
    std::vector<std::string> progress{};
    bool ok() const { return status.ok(); }
  };

  static std::string NameOf(const std::string& name) { return "vms/" + name; }

  Answer Make(const std::string& name, int64_t memory_bytes = 0, const std::string& id = "",
              bool validate_only = false) {
    pb::CreateVmRequest request;
    request.mutable_spec()->set_display_name(name);
    request.mutable_spec()->set_memory_bytes(memory_bytes);
    request.set_request_id(id);
    request.set_validate_only(validate_only);
    Answer answer;
    Call call;
    answer.status = machines->CreateVm(&call, request, &answer.vm);
    return answer;
  }
  Answer Start(const std::string& name, const std::string& id = "") {
    pb::StartVmRequest request;
    request.set_name(NameOf(name));
    request.set_request_id(id);
    Answer answer;
    Call call;
    const auto stream = machines->StartVm(&call, request);
    for (pb::VmProgress progress; stream->Read(&progress);) {
      answer.progress.push_back(progress.message());
      if (progress.has_vm()) answer.vm = progress.vm();
    }
    answer.status = stream->Finish();
    return answer;
  }
  Answer Stop(const std::string& name, bool force = false) {
    pb::StopVmRequest request;
    request.set_name(NameOf(name));
    request.set_force(force);
    Answer answer;
    Call call;
    answer.status = machines->StopVm(&call, request, &answer.vm);
    return answer;
  }
  Answer Suspend(const std::string& name) {
    pb::SuspendVmRequest request;
    request.set_name(NameOf(name));
    Answer answer;
    Call call;
    answer.status = machines->SuspendVm(&call, request, &answer.vm);
    return answer;
  }
  Answer Drain(const std::string& name) {
    pb::DrainVmRequest request;
    request.set_name(NameOf(name));
    request.set_reason("old");
    Answer answer;
    Call call;
    answer.status = machines->DrainVm(&call, request, &answer.vm);
    return answer;
  }
  grpc::Status Remove(const std::string& name, bool force = false, bool allow_missing = false) {
    pb::DeleteVmRequest request;
    request.set_name(NameOf(name));
    request.set_force(force);
    request.set_allow_missing(allow_missing);
    google::protobuf::Empty response;
    Call call;
    return machines->DeleteVm(&call, request, &response);
  }
  pb::Vm Show(const std::string& name) {
    pb::GetVmRequest request;
    request.set_name(NameOf(name));
    pb::Vm vm;
    Call call;
    const grpc::Status status = machines->GetVm(&call, request, &vm);
    INFO(status.error_message());
    REQUIRE(status.ok());
    return vm;
  }
  // Until it is in this state; a test that never sees it times out.
  pb::Vm Await(const std::string& name, pb::VmState state) {
    pb::Vm vm = Show(name);
    while (vm.state() != state) vm = Show(name);
    return vm;
  }
  int64_t Charged() { return GetNode().memory().charged_bytes(); }
  std::vector<std::string> EventTypes(const std::string& name) {
    std::vector<std::string> types;
    for (const pb::Event& event : EventsOf(NameOf(name))) types.push_back(event.type());
    return types;
  }
};

constexpr int64_t kOne = kGiB + 64 * kMiB;  // what one is charged

TEST_CASE_METHOD(VmFixture, "VMs: made, started, stopped and removed, charged while they run") {
  const Answer made = Make("mac1");
  INFO(made.status.error_message());
  REQUIRE(made.ok());
  CHECK(made.vm.state() == pb::VM_STATE_STOPPED);
  CHECK(made.vm.spec().memory_bytes() == kGiB);
  CHECK(made.vm.spec().cpus() == 2);
  CHECK(Charged() == 0);
  CHECK_FALSE(vms().Has("mac1"));

  const Answer started = Start("mac1");
  INFO(started.status.error_message());
  REQUIRE(started.ok());
  CHECK(started.vm.state() == pb::VM_STATE_RUNNING);
  CHECK(started.vm.guest().agent_version() == "9.9");
  CHECK(started.vm.emulated());
  CHECK(started.vm.image_digest() == "sha256:image-1");
  CHECK(started.progress.back() == "runs");
  CHECK(Charged() == kOne);
  CHECK(Start("mac1").ok());  // it does already
  CHECK(vms().With("mac1", [](auto& machine) { return machine.boots; }) == 1);

  CHECK(Remove("mac1").error_code() == grpc::StatusCode::FAILED_PRECONDITION);
  REQUIRE(Stop("mac1").ok());
  CHECK(Show("mac1").state() == pb::VM_STATE_STOPPED);
  CHECK(Charged() == 0);
  CHECK(vms().With("mac1", [](auto& machine) { return machine.power_offs; }) == 1);
  CHECK(Stop("mac1").ok());
  REQUIRE(Remove("mac1").ok());
  CHECK_FALSE(vms().Has("mac1"));
  CHECK(ReasonOf(Remove("mac1")) == "VM_NOT_FOUND");
  CHECK(Remove("mac1", false, true).ok());
  CHECK(EventTypes("mac1") == std::vector<std::string>{"vm.created", "vm.starting", "vm.booting",
                                                       "vm.running", "vm.stopping", "vm.stopped",
                                                       "vm.removed"});
}

TEST_CASE_METHOD(VmFixture, "VMs: what is asked for has to make sense, and to fit") {
  CHECK(ReasonOf(Make("huge", kGiB * 1000).status) == "VM_TOO_LARGE");
  CHECK(Make("tiny", kMiB).status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(Make("negative", -1).status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(Make("Bad_Name").status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(Make("only-asked", 0, "", true).ok());
  CHECK(Start("only-asked").status.error_code() == grpc::StatusCode::NOT_FOUND);
  // 8 GiB, of which some is reserved: three of 2 GiB, and no fourth.
  for (const char* name : {"a", "b", "c", "d"}) REQUIRE(Make(name, 2 * kGiB).ok());
  for (const char* name : {"a", "b", "c"}) {
    REQUIRE(Start(name).ok());
    // Its guest has nothing to give back.
    vms().With(name, [](auto& machine) { machine.used_bytes = 2 * kGiB; });
  }
  const Answer fourth = Start("d");
  CHECK(fourth.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(ReasonOf(fourth.status) == "MEMORY_EXHAUSTED");
  CHECK(Show("d").state() == pb::VM_STATE_STOPPED);
  CHECK_FALSE(vms().Has("d"));
  REQUIRE(Stop("a").ok());
  CHECK(Start("d").ok());
}

TEST_CASE_METHOD(VmFixture, "VMs: they and sandboxes share one ledger (I2)") {
  Prepare();
  REQUIRE(Make("big", 6 * kGiB).ok());
  REQUIRE(Start("big").ok());
  vms().With("big", [](auto& machine) { machine.used_bytes = 6 * kGiB; });
  pb::CreateSandboxRequest request = Request("late");
  request.mutable_spec()->set_workload_bytes(2 * kGiB);
  CHECK(ReasonOf(TryCreate(request)) == "MEMORY_EXHAUSTED");
  pb::Budget budget;
  Call call;
  REQUIRE(nodes->GetBudget(&call, {}, &budget).ok());
  CHECK(budget.charged_vm_bytes() == 6 * kGiB + 64 * kMiB);
  CHECK(budget.memory().charged_bytes() == budget.charged_vm_bytes());
  REQUIRE(Stop("big").ok());
  CHECK(TryCreate(request).ok());
  CHECK(ReasonOf(Start("big").status) == "MEMORY_EXHAUSTED");
}

TEST_CASE_METHOD(VmFixture, "VMs: one request id, one effect (I4)") {
  const Answer first = Make("mac1", 0, "make-1");
  REQUIRE(first.ok());
  CHECK(Make("mac1", 0, "make-1").vm.revision() == first.vm.revision());
  CHECK(ReasonOf(Make("mac1", 2 * kGiB, "make-1").status) == "REQUEST_ID_REUSED");
  CHECK(Make("mac1").ok());  // the same
  CHECK(ReasonOf(Make("mac1", 2 * kGiB).status) == "VM_EXISTS");
  REQUIRE(Start("mac1", "start-1").ok());
  REQUIRE(Stop("mac1").ok());
  CHECK(Start("mac1", "start-1").ok());  // it has been done
  CHECK(Show("mac1").state() == pb::VM_STATE_STOPPED);
  Restart();
  CHECK(Start("mac1", "start-1").ok());
  CHECK(Show("mac1").state() == pb::VM_STATE_STOPPED);
}

TEST_CASE_METHOD(VmFixture, "VMs: a start that fails leaves nothing on and nothing charged") {
  REQUIRE(Make("mac1").ok());
  SECTION("the hypervisor does not start it") {
    vms().FailBoot(MakeError(StatusCode::kUnavailable, "no KVM",
                             {.reason = "VM_START_FAILED", .outcome = Outcome::kUndone}));
    const Answer failed = Start("mac1");
    CHECK(ReasonOf(failed.status) == "VM_START_FAILED");
    CHECK(DetailOf(failed.status).outcome() == pb::ErrorDetail::UNDONE);
    vms().FailBoot(absl::OkStatus());
  }
  SECTION("its agent is another one") {
    vms().With("mac1", [](auto& machine) { machine.agent_version = "1.0"; });
    CHECK(ReasonOf(Start("mac1").status) == "GUEST_VERSION_MISMATCH");
    vms().With("mac1", [](auto& machine) { machine.agent_version = "9.9"; });
  }
  SECTION("the hypervisor cannot be reached") {
    vms().Reach(MakeError(StatusCode::kUnavailable, "gone", {.reason = "HYPERVISOR_UNREACHABLE"}));
    CHECK(ReasonOf(Start("mac1").status) == "HYPERVISOR_UNREACHABLE");
    vms().Reach(absl::OkStatus());
  }
  CHECK_FALSE(vms().With("mac1", [](auto& machine) { return machine.on; }));
  CHECK(Charged() == 0);
  CHECK(Show("mac1").state() == pb::VM_STATE_STOPPED);
  CHECK(Start("mac1").ok());
  CHECK(Show("mac1").failure().empty());
}

TEST_CASE_METHOD(VmFixture,
                 "VMs: one that cannot be switched off after a failed start stays charged (I2)") {
  REQUIRE(Make("mac1").ok());
  vms().With("mac1", [](auto& machine) { machine.answers = false; });
  auto started = std::async(std::launch::async, [&] { return Start("mac1").status; });
  while (!vms().With("mac1", [](auto& machine) { return machine.on; })) std::this_thread::yield();
  while (Show("mac1").image_digest().empty()) std::this_thread::yield();
  vms().Reach(MakeError(StatusCode::kUnavailable, "gone", {.reason = "HYPERVISOR_UNREACHABLE"}));
  vms().With("mac1", [](auto& machine) {
    machine.agent_version = "1.0";
    machine.answers = true;
  });
  CHECK(ReasonOf(started.get()) == "GUEST_VERSION_MISMATCH");
  CHECK(Show("mac1").state() == pb::VM_STATE_STOPPING);
  CHECK(Charged() == kOne);
  SECTION("somebody stops it") {
    vms().Reach(absl::OkStatus());
    CHECK(Stop("mac1").ok());
  }
  SECTION("it is seen to be off") {
    vms().Lose();
    vms().Crash("mac1", false);
    vms().Reach(absl::OkStatus());
    Await("mac1", pb::VM_STATE_STOPPED);
  }
  CHECK(Charged() == 0);
}

TEST_CASE_METHOD(VmFixture, "VMs: one whose guest goes off while it boots is not waited for") {
  REQUIRE(Make("mac1").ok());
  vms().With("mac1", [](auto& machine) { machine.answers = false; });
  auto started = std::async(std::launch::async, [&] { return Start("mac1").status; });
  while (!vms().With("mac1", [](auto& machine) { return machine.on; })) std::this_thread::yield();
  vms().Crash("mac1");
  const grpc::Status status = started.get();
  CHECK(status.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(status.error_message().find("went off") != std::string::npos);
  CHECK(Charged() == 0);
}

TEST_CASE_METHOD(VmFixture, "VMs: one that is in use is not stopped, unless it is forced") {
  REQUIRE(Make("mac1").ok());
  REQUIRE(Start("mac1").ok());
  vms().With("mac1", [](auto& machine) { machine.active_sandboxes = 3; });
  CHECK(ReasonOf(Stop("mac1").status) == "VM_IN_USE");
  CHECK(Show("mac1").state() == pb::VM_STATE_RUNNING);
  CHECK(Stop("mac1", true).ok());
  CHECK(Show("mac1").state() == pb::VM_STATE_STOPPED);
}

TEST_CASE_METHOD(VmFixture,
                 "VMs: one that is drained is stopped when nothing runs in it any more") {
  REQUIRE(Make("mac1").ok());
  REQUIRE(Start("mac1").ok());
  vms().With("mac1", [](auto& machine) { machine.active_sandboxes = 1; });
  const Answer draining = Drain("mac1");
  REQUIRE(draining.ok());
  CHECK(draining.vm.state() == pb::VM_STATE_RUNNING);
  CHECK(draining.vm.cordon().reason() == "is drained: old");
  vms().With("mac1", [](auto& machine) { machine.active_sandboxes = 0; });
  CHECK(Drain("mac1").vm.state() == pb::VM_STATE_STOPPED);
}

TEST_CASE_METHOD(VmFixture, "VMs: a guest that does not obey loses its plug") {
  REQUIRE(Make("mac1").ok());
  REQUIRE(Start("mac1").ok());
  vms().With("mac1", [](auto& machine) { machine.obeys = false; });
  pb::StopVmRequest request;
  request.set_name("vms/mac1");
  request.mutable_grace_period()->set_nanos(1'000'000);
  pb::Vm vm;
  Call call;
  REQUIRE(machines->StopVm(&call, request, &vm).ok());
  CHECK(vm.state() == pb::VM_STATE_STOPPED);
  CHECK_FALSE(vms().With("mac1", [](auto& machine) { return machine.on; }));
}

TEST_CASE_METHOD(VmFixture, "VMs: what was suspended goes on with the right time") {
  REQUIRE(Make("mac1").ok());
  CHECK(ReasonOf(Suspend("mac1").status) == "VM_NOT_RUNNING");
  REQUIRE(Start("mac1").ok());
  REQUIRE(Suspend("mac1").ok());
  CHECK(Show("mac1").state() == pb::VM_STATE_SUSPENDED);
  CHECK(Charged() == kOne);
  vms().With("mac1", [](auto& machine) { machine.clock_off = std::chrono::hours(1); });
  REQUIRE(Start("mac1").ok());
  CHECK(Show("mac1").state() == pb::VM_STATE_RUNNING);
  CHECK(vms().With("mac1", [](auto& machine) { return machine.clock_off.count(); }) == 0);
  CHECK(vms().With("mac1", [](auto& machine) { return machine.boots; }) == 1);
}

TEST_CASE_METHOD(VmFixture, "VMs: one that goes off by itself is lost, and no longer charged") {
  REQUIRE(Make("mac1").ok());
  REQUIRE(Start("mac1").ok());
  vms().Crash("mac1");
  const pb::Vm lost = Await("mac1", pb::VM_STATE_LOST);
  CHECK(lost.failure() == "went off without being told to");
  CHECK(Charged() == 0);
  CHECK(Start("mac1").ok());
  CHECK(Show("mac1").state() == pb::VM_STATE_RUNNING);
}

TEST_CASE_METHOD(VmFixture, "VMs: found again after a restart, with what has become of them") {
  for (const char* name : {"runs", "crashed", "stands", "off"}) REQUIRE(Make(name).ok());
  for (const char* name : {"runs", "crashed", "stands"}) REQUIRE(Start(name).ok());
  REQUIRE(Suspend("stands").ok());
  Shutdown();
  vms().Crash("crashed", false);
  vms().With("stray", [](auto& machine) { machine.on = true; });
  Restart();
  CHECK(Charged() >= 2 * kOne);
  Await("crashed", pb::VM_STATE_LOST);
  CHECK(Await("runs", pb::VM_STATE_RUNNING).state() == pb::VM_STATE_RUNNING);
  while (!Show("runs").has_guest()) std::this_thread::yield();
  CHECK(Show("runs").guest().agent_version() == "9.9");
  CHECK(Show("stands").state() == pb::VM_STATE_SUSPENDED);
  CHECK(Show("off").state() == pb::VM_STATE_STOPPED);
  CHECK(Charged() == 2 * kOne);
  while (vms().Has("stray")) std::this_thread::yield();
  CHECK(EventTypes("runs").back() == "vm.adopted");
  CHECK(Stop("runs").ok());
}

TEST_CASE_METHOD(NodeFixture, "VMs: an agent that dies in the middle of a start takes it back") {
  lifecycle::Call call;
  VmSpec spec{.name = "mac1"};
  REQUIRE(Run(node().vms().Create(call, spec, false)).ok());
  vms().With("mac1", [](auto& machine) { machine.answers = false; });
  auto started = Begin(node().vms().Start(call, "mac1", nullptr));
  while (!vms().With("mac1", [](auto& machine) { return machine.on; })) std::this_thread::yield();
  Crash();
  while (vms().With("mac1", [](auto& machine) { return machine.on; })) std::this_thread::yield();
  REQUIRE(Run(node().vms().Stop(call, "mac1", std::nullopt, false)).ok());
  const auto view = node().vms().Get("mac1");
  REQUIRE(view.ok());
  CHECK(view->vm.state == VmState::kStopped);
  CHECK(node().vms().ChargedBytes() == 0);
}

TEST_CASE_METHOD(VmFixture, "VMs: what nobody can look at stays charged until somebody can") {
  REQUIRE(Make("mac1").ok());
  REQUIRE(Start("mac1").ok());
  Run(node().Drain());
  Shutdown();
  vms().Reach(MakeError(StatusCode::kUnavailable, "gone", {.reason = "HYPERVISOR_UNREACHABLE"}));
  NodeFixture::Restart();
  Serve();
  CHECK(Charged() == kOne);
  CHECK_FALSE(GetNode().ready());
  CHECK(ReasonOf(Stop("mac1").status) == "HYPERVISOR_UNREACHABLE");
  vms().Crash("mac1", false);
  vms().Reach(absl::OkStatus());
  // It is tried again by itself.
  Await("mac1", pb::VM_STATE_LOST);
  CHECK(Charged() == 0);
}

TEST_CASE_METHOD(VmFixture, "VMs: a removal that fails is known, and can be tried again") {
  REQUIRE(Make("mac1").ok());
  REQUIRE(Start("mac1").ok());
  vms().FailRemove(Internal("the disk is read-only"));
  CHECK_FALSE(Remove("mac1", true).ok());
  const pb::Vm left = Show("mac1");
  CHECK(left.state() == pb::VM_STATE_LOST);
  CHECK(left.failure().find("read-only") != std::string::npos);
  CHECK(Charged() == 0);
  vms().FailRemove(absl::OkStatus());
  CHECK(Remove("mac1").ok());
}

TEST_CASE_METHOD(VmFixture, "VMs: a new guest image counts from the next start on") {
  REQUIRE(Make("mac1").ok());
  REQUIRE(Start("mac1").ok());
  vms().SetImage("sha256:image-2");
  pb::GuestImage image;
  Call call;
  REQUIRE(machines->GetGuestImage(&call, {}, &image).ok());
  CHECK(image.digest() == "sha256:image-2");
  CHECK(Show("mac1").image_outdated());
  REQUIRE(Stop("mac1").ok());
  REQUIRE(Start("mac1").ok());
  CHECK(Show("mac1").image_digest() == "sha256:image-2");
  CHECK_FALSE(Show("mac1").image_outdated());
}

}  // namespace
}  // namespace claw::test
