// The connection to libvirt, against a real libvirtd with real QEMUs whose guests do nothing.

#include "vm/hypervisor.h"

#include <signal.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <fstream>
#include <thread>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"
#include "tests/support/libvirt_daemon.h"
#include "tests/support/own_network.h"

namespace claw::vm {
namespace {

using test::HypervisorWatch;
using test::IdleDomain;
using test::LibvirtDaemon;

constexpr const char* kOwner = "clawlet-test";

std::string ReasonOf(const Status& status) {
  return GetErrorDetail(status).value_or(ErrorDetail{}).reason;
}

std::unique_ptr<Hypervisor> Connect(HypervisorWatch& watch, const std::string& uri,
                                    const std::string& owner = kOwner) {
  auto connected = Hypervisor::Connect(watch.Options(uri, owner));
  INFO(ToLogString(connected.status()));
  REQUIRE(connected.ok());
  return *std::move(connected);
}

void Must(const Status& status) {
  INFO(ToLogString(status));
  REQUIRE(status.ok());
}

// "off" for one that is not there, too.
std::string StateOf(const Hypervisor& hypervisor, const std::string& vm) {
  const auto domains = hypervisor.List();
  Must(domains.status());
  for (const DomainInfo& domain : *domains) {
    if (domain.vm != vm) continue;
    switch (domain.state) {
      case DomainState::kRunning:
        return "running";
      case DomainState::kPaused:
        return "paused";
      case DomainState::kCrashed:
        return "crashed";
      case DomainState::kOff:
        return "off";
    }
  }
  return "none";
}

std::string Virsh(const std::string& uri, std::vector<std::string> words) {
  words.insert(words.begin(), {"virsh", "-q", "-c", uri});
  const auto out = RunOrError({.argv = words});
  INFO(ToLogString(out.status()));
  REQUIRE(out.ok());
  return *out;
}

TEST_CASE("libvirt's own fake has a domain that is not ours, and no arm64 machines") {
  HypervisorWatch watch;
  const auto hypervisor = Connect(watch, "test:///default");
  CHECK(hypervisor->IsAlive());
  CHECK_FALSE(hypervisor->versions().libvirt.empty());
  REQUIRE(hypervisor->List().ok());
  CHECK(hypervisor->List()->empty());
  const Status type = hypervisor->CheckType(DomainType::kQemu, "");
  CHECK(type.code() == StatusCode::kFailedPrecondition);
  CHECK(ReasonOf(type) == "VM_UNSUPPORTED");
  CHECK(ReasonOf(hypervisor->Start("mac1")) == "VM_NOT_FOUND");
}

TEST_CASE("where no libvirt answers, the error says where") {
  HypervisorWatch watch;
  const auto none =
      Hypervisor::Connect(watch.Options("qemu+unix:///system?socket=/nowhere", kOwner));
  CHECK(none.status().code() == StatusCode::kUnavailable);
  CHECK(ReasonOf(none.status()) == "HYPERVISOR_UNREACHABLE");
  CHECK(ToStd(none.status().message()).find("/nowhere") != std::string_view::npos);
}

TEST_CASE("a domain's life, and what is told of it") {
  if (!test::EnterOwnNetwork()) return;
  LibvirtDaemon daemon;
  daemon.Start();
  HypervisorWatch watch;
  const auto hypervisor = Connect(watch, daemon.uri());
  Must(hypervisor->CheckType(DomainType::kQemu, ""));
  CHECK(ReasonOf(hypervisor->CheckType(DomainType::kHvf, "")) == "VM_UNSUPPORTED");
  DomainSpec spec = IdleDomain(daemon.path(), kOwner, "mac1");
  Must(hypervisor->Define(spec));
  CHECK(StateOf(*hypervisor, "mac1") == "off");
  // In the place of the one before.
  spec.memory_bytes = 128 * kMiB;
  Must(hypervisor->Define(spec));
  REQUIRE(hypervisor->List()->size() == 1);

  Must(hypervisor->Start("mac1"));
  watch.Await("mac1", DomainEvent::kOn);
  CHECK(StateOf(*hypervisor, "mac1") == "running");
  CHECK(daemon.Qemus().size() == 1);
  const auto memory = hypervisor->GetMemory("mac1");
  Must(memory.status());
  CHECK(memory->balloon_bytes == 128 * kMiB);
  CHECK(memory->resident_bytes > kMiB);
  CHECK(hypervisor->SetMemory("mac1", 96 * kMiB).ok());
  CHECK_FALSE(hypervisor->SetMemory("mac1", kGiB).ok());
  // On already.
  const Status again = hypervisor->Start("mac1");
  CHECK_FALSE(again.ok());
  CHECK(ReasonOf(hypervisor->Undefine("mac1")) == "VM_RUNNING");
  CHECK(StateOf(*hypervisor, "mac1") == "running");

  Must(hypervisor->Suspend("mac1"));
  watch.Await("mac1", DomainEvent::kPaused);
  Must(hypervisor->Suspend("mac1"));
  CHECK(StateOf(*hypervisor, "mac1") == "paused");
  // Another connection, as after a restart of the agent.
  HypervisorWatch other_watch;
  {
    const auto other = Connect(other_watch, daemon.uri());
    CHECK(StateOf(*other, "mac1") == "paused");
    Must(other->Resume("mac1"));
    Must(other->Resume("mac1"));
  }
  watch.Await("mac1", DomainEvent::kResumed);

  Must(hypervisor->Destroy("mac1"));
  watch.Await("mac1", DomainEvent::kOff);
  Must(hypervisor->Destroy("mac1"));
  CHECK(StateOf(*hypervisor, "mac1") == "off");
  CHECK(daemon.Qemus().empty());
  Must(hypervisor->Undefine("mac1"));
  Must(hypervisor->Undefine("mac1"));
  Must(hypervisor->Destroy("mac1"));
  CHECK(StateOf(*hypervisor, "mac1") == "none");
  for (const Status& status :
       {hypervisor->Start("mac1"), hypervisor->Suspend("mac1"), hypervisor->Resume("mac1"),
        hypervisor->GetMemory("mac1").status(), hypervisor->SetMemory("mac1", kMiB)}) {
    CHECK(ReasonOf(status) == "VM_NOT_FOUND");
  }
}

TEST_CASE("a guest whose QEMU is killed is told to be off") {
  if (!test::EnterOwnNetwork()) return;
  LibvirtDaemon daemon;
  daemon.Start();
  HypervisorWatch watch;
  const auto hypervisor = Connect(watch, daemon.uri());
  Must(hypervisor->Define(IdleDomain(daemon.path(), kOwner, "mac1")));
  Must(hypervisor->Start("mac1"));
  watch.Await("mac1", DomainEvent::kOn);
  test::KillQemusOf(daemon.path());
  watch.Await("mac1", DomainEvent::kOff);
  CHECK(StateOf(*hypervisor, "mac1") == "off");
}

TEST_CASE("guests outlive libvirtd; while it is away nobody takes them for switched off") {
  if (!test::EnterOwnNetwork()) return;
  LibvirtDaemon daemon;
  daemon.Start();
  HypervisorWatch watch;
  auto hypervisor = Connect(watch, daemon.uri());
  Must(hypervisor->Define(IdleDomain(daemon.path(), kOwner, "mac1")));
  Must(hypervisor->Start("mac1"));
  watch.Await("mac1", DomainEvent::kOn);
  const auto qemus = daemon.Qemus();
  REQUIRE(qemus.size() == 1);

  daemon.Kill9();
  watch.AwaitLost();
  CHECK_FALSE(hypervisor->IsAlive());
  for (const Status& status :
       {hypervisor->List().status(), hypervisor->Destroy("mac1"), hypervisor->Undefine("mac1"),
        hypervisor->Start("mac1"), hypervisor->GetMemory("mac1").status()}) {
    INFO(ToLogString(status));
    CHECK(status.code() == StatusCode::kUnavailable);
    CHECK(ReasonOf(status) == "HYPERVISOR_UNREACHABLE");
  }
  CHECK(daemon.Qemus() == qemus);

  daemon.Start();
  // The old one is in somebody's hands still when the new one comes.
  auto next = Connect(watch, daemon.uri());
  hypervisor.reset();
  CHECK(StateOf(*next, "mac1") == "running");
  CHECK(daemon.Qemus() == qemus);
  Must(next->Destroy("mac1"));
  watch.Await("mac1", DomainEvent::kOff);
  CHECK(daemon.Qemus().empty());
}

// Asks all the time for what runs; stops at the first error. What it was answered before is right.
class Asker {
 public:
  explicit Asker(const Hypervisor& hypervisor)
      : thread_([this, &hypervisor] {
          auto domains = hypervisor.List();
          for (; domains.ok(); domains = hypervisor.List()) {
            const bool runs =
                domains->size() == 1 && domains->front().state == DomainState::kRunning;
            wrong_ += runs ? 0 : 1;
            ++answers_;
            answers_.notify_all();
          }
          error_ = domains.status();
        }) {}
  ~Asker() { Join(); }

  void AwaitAnswers(int count) {
    for (int seen = answers_; seen < count; seen = answers_) answers_.wait(seen);
  }
  // Once libvirtd is away.
  void Join() {
    if (thread_.joinable()) thread_.join();
  }
  int wrong() const { return wrong_; }
  const Status& error() const { return error_; }

 private:
  std::atomic<int> answers_ = 0;
  std::atomic<int> wrong_ = 0;
  Status error_;
  std::thread thread_;
};

TEST_CASE("no answer is wrong in the moment in which libvirtd dies") {
  if (!test::EnterOwnNetwork()) return;
  LibvirtDaemon daemon;
  daemon.Start();
  HypervisorWatch watch;
  auto hypervisor = Connect(watch, daemon.uri());
  Must(hypervisor->Define(IdleDomain(daemon.path(), kOwner, "mac1")));
  Must(hypervisor->Start("mac1"));
  for (int i = 0; i < 25; ++i) {
    Asker asker(*hypervisor);
    // At another place of the question each time.
    asker.AwaitAnswers(50 + i);
    daemon.Kill9();
    asker.Join();
    CHECK(asker.wrong() == 0);
    INFO(ToLogString(asker.error()));
    CHECK(ReasonOf(asker.error()) == "HYPERVISOR_UNREACHABLE");
    daemon.Start();
    hypervisor = Connect(watch, daemon.uri());
    REQUIRE(StateOf(*hypervisor, "mac1") == "running");
  }
}

TEST_CASE("domains of others are neither seen nor touched") {
  if (!test::EnterOwnNetwork()) return;
  LibvirtDaemon daemon;
  daemon.Start();
  HypervisorWatch watch;
  HypervisorWatch other_watch;
  const auto hypervisor = Connect(watch, daemon.uri());
  // Another agent's.
  const auto other = Connect(other_watch, daemon.uri(), "clawlet-other");
  Must(other->Define(IdleDomain(daemon.path(), "clawlet-other", "mac1")));
  CHECK(hypervisor->List()->empty());
  Must(hypervisor->Destroy("mac1"));
  Must(hypervisor->Undefine("mac1"));
  CHECK(StateOf(*other, "mac1") == "off");

  // A person's, who called it as ours would be, and who speaks of our mark without having it.
  std::string theirs = ToXml(IdleDomain(daemon.path(), kOwner, "theirs"));
  const size_t at = theirs.find("  <metadata>");
  const size_t end = theirs.find("</metadata>") + std::string("</metadata>").size();
  theirs.replace(at, end - at,
                 "<description> owner='clawlet-test' name='theirs' urn:clawlet:vm:1</description>");
  std::ofstream(daemon.path() / "theirs.xml") << theirs;
  Virsh(daemon.uri(), {"define", (daemon.path() / "theirs.xml").string()});
  Virsh(daemon.uri(), {"start", "clawlet-test-theirs"});
  CHECK(hypervisor->List()->empty());
  for (const Status& status :
       {hypervisor->Define(IdleDomain(daemon.path(), kOwner, "theirs")),
        hypervisor->Start("theirs"), hypervisor->Suspend("theirs"), hypervisor->Destroy("theirs"),
        hypervisor->Undefine("theirs"), hypervisor->GetMemory("theirs").status()}) {
    INFO(ToLogString(status));
    CHECK(ReasonOf(status) == "NOT_OURS");
  }
  CHECK(Virsh(daemon.uri(), {"domstate", "clawlet-test-theirs"}).find("running") == 0);
}

TEST_CASE("a guest that cannot start says why") {
  if (!test::EnterOwnNetwork()) return;
  LibvirtDaemon daemon;
  daemon.Start();
  HypervisorWatch watch;
  const auto hypervisor = Connect(watch, daemon.uri());
  Must(hypervisor->Define(IdleDomain(daemon.path(), kOwner, "mac1")));
  Must(hypervisor->Start("mac1"));
  // libvirt_machines.cc knows a port that is taken by these words of QEMU's.
  Must(hypervisor->Define(IdleDomain(daemon.path(), kOwner, "mac2")));
  const Status taken = hypervisor->Start("mac2");
  INFO(ToLogString(taken));
  CHECK(taken.code() == StatusCode::kUnavailable);
  CHECK(ReasonOf(taken) == "VM_START_FAILED");
  CHECK(ToStd(taken.message()).find("host forwarding") != std::string_view::npos);
  CHECK(StateOf(*hypervisor, "mac2") == "off");
  CHECK(daemon.Qemus().size() == 1);
}

}  // namespace
}  // namespace claw::vm
