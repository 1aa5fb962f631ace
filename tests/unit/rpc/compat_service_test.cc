#include "tests/unit/rpc/compat_fixture.h"

namespace claw::test {
namespace {

using drivers::FakeProcess;
using drivers::Step;

TEST_CASE_METHOD(CompatFixture, "compat: a program that gVisor runs is compatible, and forgotten") {
  world().SetProgram(Copes);
  REQUIRE(Test(TestRequest(false)).ok());
  CHECK(verdict.result() == pb::COMPAT_RESULT_COMPATIBLE);
  CHECK(verdict.platform() == "ptrace");
  CHECK_FALSE(verdict.stale());
  REQUIRE(verdict.probes_size() == 1);
  CHECK(verdict.probes(0).probe().name() == "/bin/app");
  CHECK(verdict.probes(0).gvisor().as_expected());
  CHECK(verdict.probes(0).gvisor().output_tail() == "hello\n");
  CHECK_FALSE(verdict.probes(0).has_baseline());
  CHECK(verdict.tested_by().starts_with("unix:"));
  CHECK(lines.front() == "probe 1 of 1 (/bin/app): gvisor");
  CHECK(world().ids().empty());
  CHECK(Charged() == 0);
}

TEST_CASE_METHOD(CompatFixture, "compat: what a program needs is found by taking it away") {
  world().SetProgram(NeedsPidfd);
  world().SetSyscalls(BothFail);
  REQUIRE(Test(TestRequest(true)).ok());
  CHECK(verdict.result() == pb::COMPAT_RESULT_INCOMPATIBLE);
  REQUIRE(verdict.findings_size() == 2);
  CHECK(verdict.findings(0).name() == "kcmp");
  CHECK(verdict.findings(0).kind() == pb::SyscallFinding::REFUSED);
  CHECK(verdict.findings(0).error() == "EPERM");
  CHECK(verdict.findings(0).mattered() == pb::SyscallFinding::NO);
  CHECK(verdict.findings(1).name() == "pidfd_open");
  CHECK(verdict.findings(1).kind() == pb::SyscallFinding::LACKING);
  CHECK(verdict.findings(1).mattered() == pb::SyscallFinding::YES);
  REQUIRE(verdict.ignored_syscalls_size() == 1);
  CHECK(verdict.ignored_syscalls(0) == "rseq");
  CHECK(verdict.probes(0).baseline().as_expected());
  CHECK(world().ids().empty());
}

TEST_CASE_METHOD(CompatFixture, "compat: a degraded image can be accepted, no other") {
  world().SetProgram(Copes);
  pb::AcceptVerdictRequest accept;
  accept.set_image("images/app");
  pb::Verdict accepted;
  Call untested;
  CHECK(ReasonOf(compat->AcceptVerdict(&untested, accept, &accepted)) == "VERDICT_NOT_FOUND");
  REQUIRE(Test(TestRequest(false)).ok());
  Call compatible;
  CHECK(ReasonOf(compat->AcceptVerdict(&compatible, accept, &accepted)) == "NOT_DEGRADED");

  world().SetSyscalls(BothFail);
  REQUIRE(Test(TestRequest(true)).ok());
  CHECK(verdict.result() == pb::COMPAT_RESULT_DEGRADED);
  CHECK(verdict.findings(0).mattered() == pb::SyscallFinding::NO);
  CHECK(verdict.findings(1).mattered() == pb::SyscallFinding::NO);
  Call degraded;
  REQUIRE(compat->AcceptVerdict(&degraded, accept, &accepted).ok());
  CHECK(accepted.accepted_by().starts_with("unix:"));
  // Another test has to be accepted anew.
  REQUIRE(Test(TestRequest(false)).ok());
  CHECK(verdict.accepted_by().empty());

  pb::DeleteVerdictRequest remove;
  remove.set_image(verdict.image());
  google::protobuf::Empty nothing;
  Call first;
  CHECK(compat->DeleteVerdict(&first, remove, &nothing).ok());
  Call second;
  CHECK(ReasonOf(compat->DeleteVerdict(&second, remove, &nothing)) == "VERDICT_NOT_FOUND");
}

TEST_CASE_METHOD(CompatFixture, "compat: a probe that fails without gVisor, too, is no verdict") {
  world().SetProgram([](const std::shared_ptr<FakeProcess>& process) {
    process->Exit(3);
    return absl::OkStatus();
  });
  const grpc::Status status = Test(TestRequest(true));
  CHECK(status.error_code() == grpc::StatusCode::FAILED_PRECONDITION);
  CHECK(ReasonOf(status) == "PROBE_BROKEN");
  pb::ListVerdictsResponse list;
  Call call;
  REQUIRE(compat->ListVerdicts(&call, {}, &list).ok());
  CHECK(list.verdicts_size() == 0);
  CHECK(world().ids().empty());
}

TEST_CASE_METHOD(CompatFixture, "compat: exit code, output and time have to be as the probe says") {
  world().SetProgram(Copes);
  pb::TestImageRequest request = TestRequest(false);
  pb::Probe& probe = *request.add_probes();
  SECTION("output") { probe.set_output("other\n"); }
  SECTION("part of the output") { probe.set_output_contains("other"); }
  SECTION("exit code") { probe.set_exit_code(7); }
  SECTION("time") {
    world().SetProgram([](const std::shared_ptr<FakeProcess>&) { return absl::OkStatus(); });
    probe.mutable_timeout()->set_nanos(20'000'000);
  }
  REQUIRE(Test(request).ok());
  CHECK(verdict.result() == pb::COMPAT_RESULT_INCOMPATIBLE);
  CHECK_FALSE(verdict.probes(0).gvisor().as_expected());
  CHECK(world().ids().empty());
}

TEST_CASE_METHOD(CompatFixture, "compat: the image's label says what to run") {
  world().SetProgram(Copes);
  Import("labelled");
  pb::TestImageRequest request = TestRequest(false);
  request.set_image("images/labelled");
  REQUIRE(Test(request).ok());
  const pb::Probe& probe = verdict.probes(0).probe();
  CHECK(std::vector<std::string>(probe.command().begin(), probe.command().end()) ==
        std::vector<std::string>{"/bin/check", "--deep", "two words"});
}

TEST_CASE_METHOD(CompatFixture,
                 "compat: a test under way holds memory and its image, and ends "
                 "with its caller") {
  world().SetProgram([](const std::shared_ptr<FakeProcess>&) { return absl::OkStatus(); });
  const auto gate = world().Block(Step::kStart);
  Call call;
  const auto stream = compat->TestImage(&call, TestRequest(false));
  REQUIRE(gate->AwaitArrival());
  CHECK(Charged() >= kDefaultProbeBytes);
  REQUIRE(world().ids().size() == 1);
  CHECK(world().spec(world().ids().front())->mounts.empty());
  pb::DeleteImageRequest remove;
  remove.set_name("images/app");
  google::protobuf::Empty nothing;
  Call deletion;
  CHECK(ReasonOf(images->DeleteImage(&deletion, remove, &nothing)) == "IMAGE_IN_USE");
  call.Cancel();
  gate->Release();
  pb::TestImageProgress progress;
  while (stream->Read(&progress)) {
  }
  CHECK(stream->Finish().error_code() == grpc::StatusCode::CANCELLED);
  Shutdown();
  Run(node().Drain());  // waits for what is under way
  CHECK(world().ids().empty());
  CHECK(node().ListVerdicts().empty());
}

TEST_CASE_METHOD(CompatFixture, "compat: what cannot be tested is refused with its reason") {
  world().SetProgram(Copes);
  pb::TestImageRequest request = TestRequest(false);
  SECTION("no such image") {
    request.set_image("images/nothing");
    CHECK(ReasonOf(Test(request)) == "IMAGE_NOT_FOUND");
  }
  SECTION("more memory than there is") {
    request.set_workload_bytes(16 * kGiB);
    CHECK(ReasonOf(Test(request)) == "MEMORY_EXHAUSTED");
  }
  SECTION("too little memory") {
    request.set_workload_bytes(1);
    CHECK(Test(request).error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  }
  SECTION("a bad probe") {
    request.add_probes()->set_exit_code(256);
    CHECK(Test(request).error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  }
  SECTION("too many probes") {
    for (size_t i = 0; i <= kMaxProbes; ++i) request.add_probes();
    CHECK(Test(request).error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  }
  SECTION("no log of system calls") {
    world().Fail(Step::kReadSyscalls, DataLoss("it is gone"));
    CHECK(Test(request).error_code() == grpc::StatusCode::DATA_LOSS);
  }
  CHECK(world().ids().empty());
  CHECK(node().ListVerdicts().empty());
  CHECK(Charged() == 0);
}

TEST_CASE_METHOD(CompatFixture, "compat: the same request is answered with the same verdict") {
  world().SetProgram(Copes);
  pb::TestImageRequest request = TestRequest(false);
  request.set_request_id("r-1");
  REQUIRE(Test(request).ok());
  const size_t calls = world().calls().size();
  const pb::Verdict first = verdict;
  REQUIRE(Test(request).ok());
  CHECK(world().calls().size() == calls);
  CHECK(verdict.SerializeAsString() == first.SerializeAsString());
}

TEST_CASE_METHOD(CompatFixture, "compat: overrides are for a digest, a while and two classes") {
  const std::string image = "images/sha256:" + std::string(64, 'a');
  grpc::Status status;
  Override(&status, "images/app", 3600);
  CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  Override(&status, image, 59);
  CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  Override(&status, image, 30 * 24 * 3600 + 1);
  CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  Override(&status, image, 3600, pb::ISOLATION_CLASS_CONTAINER);
  CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  Override(&status, image, 3600, pb::ISOLATION_CLASS_UNSPECIFIED);
  CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);

  const pb::Override made = Override(&status, image, 3600, pb::ISOLATION_CLASS_LEGACY_HARDENED);
  REQUIRE(status.ok());
  CHECK(made.given_by().starts_with("unix:"));
  CHECK(made.expire_time().seconds() - made.create_time().seconds() == 3600);
  pb::ListOverridesResponse list;
  Call call;
  REQUIRE(compat->ListOverrides(&call, {}, &list).ok());
  REQUIRE(list.overrides_size() == 1);
  CHECK(list.overrides(0).SerializeAsString() == made.SerializeAsString());
  pb::DeleteOverrideRequest remove;
  remove.set_image(image);
  google::protobuf::Empty nothing;
  Call first;
  CHECK(compat->DeleteOverride(&first, remove, &nothing).ok());
  Call second;
  CHECK(ReasonOf(compat->DeleteOverride(&second, remove, &nothing)) == "OVERRIDE_NOT_FOUND");
}

}  // namespace
}  // namespace claw::test
