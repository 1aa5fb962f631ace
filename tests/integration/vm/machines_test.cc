// Machines as the agent has them: libvirt's QEMU driver in this process, and a guest that does
// nothing.

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"
#include "agent/base/unique_fd.h"
#include "tests/support/guest_image_folder.h"
#include "tests/support/libvirt_daemon.h"
#include "tests/support/own_network.h"
#include "vm/libvirt_machines.h"

namespace claw::vm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "mac1";

std::string ReasonOf(const Status& status) {
  return GetErrorDetail(status).value_or(ErrorDetail{}).reason;
}

void Must(const Status& status) {
  INFO(ToLogString(status));
  REQUIRE(status.ok());
}

bool Connects(int64_t port) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

class Ears {
 public:
  Machines::Listener Listener() {
    return {.on_event =
                [this](const std::string& name, MachineEvent event) {
                  const std::lock_guard<std::mutex> lock(mutex_);
                  if (name == kName) told_.push_back(event);
                  changed_.notify_all();
                },
            .on_lost = {}};
  }
  // Waits until this is told; forgets what came before it.
  void Await(MachineEvent event) {
    std::unique_lock<std::mutex> lock(mutex_);
    auto found = told_.end();
    changed_.wait(lock, [&] {
      found = std::find(told_.begin(), told_.end(), event);
      return found != told_.end();
    });
    told_.erase(told_.begin(), found + 1);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<MachineEvent> told_;
};

class Fixture {
 public:
  Fixture() {
    image_.Write("vmlinuz", test::IdleKernel());
    image_.Describe();
    // Of another size than QEMU's store of translated code.
    vm.spec = {.name = kName, .cpus = 1, .memory_bytes = 192 * kMiB, .disk_bytes = 64 * kMiB};
    vm.uuid = "3b241101-e2bb-4255-8caf-4136c566a962";
  }
  ~Fixture() { test::KillQemusOf(path()); }

  std::unique_ptr<Machines> Make() {
    auto machines = MakeLibvirtMachines({.private_root = path() / "run",
                                         .owner = "clawlet-test",
                                         .image = image_.path(),
                                         .folder = path() / "vms"},
                                        clock_);
    machines->Listen(ears.Listener());
    return machines;
  }
  const fs::path& path() const { return dir_.path(); }

  Vm vm;
  Ears ears;

 private:
  test::TempDir dir_;
  test::GuestImageFolder image_;
  SystemClock clock_;
};

TEST_CASE("a machine is booted once, is found again, and is gone with its files") {
  if (!test::EnterOwnNetwork()) return;
  Fixture fixture;
  auto machines = fixture.Make();
  const auto facts = machines->Connect();
  Must(facts.status());
  CHECK(facts->domain_type == "qemu");
  CHECK(facts->emulated);
  CHECK(facts->version.find("libvirt ") != std::string::npos);

  const auto booted = machines->Boot(fixture.vm);
  Must(booted.status());
  fixture.ears.Await(MachineEvent::kOn);
  CHECK(Connects(booted->port));
  CHECK_FALSE(Connects(booted->port == 65535 ? 65534 : booted->port + 1));
  const auto qemus = test::QemusOf(fixture.path());
  REQUIRE(qemus.size() == 1);
  auto memory = machines->GetMemory(kName);
  Must(memory.status());
  CHECK(memory->balloon_bytes == 192 * kMiB);
  // QEMU itself takes some, and the guest's memory, which it has not touched, is no part of that.
  CHECK(memory->overhead_bytes > 8 * kMiB);
  CHECK(memory->overhead_bytes < 1024 * kMiB);
  CHECK(memory->overhead_bytes <= memory->resident_bytes + 8 * kMiB);
  // This guest has no driver for its balloon: it is told, and gives nothing back.
  Must(machines->SetBalloon(kName, 96 * kMiB));
  memory = machines->GetMemory(kName);
  Must(memory.status());
  CHECK(memory->balloon_bytes == 192 * kMiB);
  CHECK_FALSE(machines->SetBalloon(kName, kGiB).ok());
  CHECK(ReasonOf(machines->SetBalloon("other", 96 * kMiB)) == "VM_NOT_FOUND");

  // On already: its keys are those that it was booted with.
  const auto before = machines->ReadCredentials(kName);
  Must(before.status());
  const Status again = machines->Boot(fixture.vm).status();
  CHECK(again.code() == StatusCode::kFailedPrecondition);
  CHECK(ReasonOf(again) == "VM_RUNNING");
  CHECK(machines->ReadCredentials(kName)->key == before->key);
  CHECK(ReasonOf(machines->Remove(kName)) == "VM_RUNNING");
  CHECK(fs::exists(fixture.path() / "vms/mac1/state.img"));

  Must(machines->Suspend(kName));
  fixture.ears.Await(MachineEvent::kSuspended);
  // The agent ends, and another comes.
  machines.reset();
  CHECK(test::QemusOf(fixture.path()) == qemus);
  machines = fixture.Make();
  const auto found = machines->List();
  Must(found.status());
  REQUIRE(found->size() == 1);
  CHECK(found->front().name == kName);
  CHECK(found->front().on);
  CHECK(found->front().suspended);
  Must(machines->Resume(kName));
  fixture.ears.Await(MachineEvent::kResumed);

  // QEMU dies; it boots again with new keys, and the same disk.
  test::KillQemusOf(fixture.path());
  fixture.ears.Await(MachineEvent::kOff);
  Must(machines->Boot(fixture.vm).status());
  CHECK(machines->ReadCredentials(kName)->key != before->key);
  Must(machines->PullPlug(kName));
  fixture.ears.Await(MachineEvent::kOff);
  Must(machines->PullPlug(kName));
  CHECK(test::QemusOf(fixture.path()).empty());
  Must(machines->Remove(kName));
  CHECK_FALSE(fs::exists(fixture.path() / "vms/mac1"));
  CHECK(machines->List()->empty());
  Must(machines->Remove(kName));
  Must(machines->PullPlug(kName));
}

}  // namespace
}  // namespace claw::vm
