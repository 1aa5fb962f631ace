#include "agent/host/process.h"

#include <poll.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <thread>

#include "agent/base/subprocess.h"
#include "agent/host/host_info.h"

namespace claw::host {
namespace {

constexpr char kBoot[] = "5f1c0a2e-boot";

Process Sleeper(bool new_session = false) {
  ProcessSpec spec;
  spec.argv = {"sleep", "1000"};
  spec.new_session = new_session;
  auto process = Spawn(spec);
  REQUIRE(process.ok());
  return std::move(*process);
}

TEST_CASE("this process is told from others and from other times") {
  const auto self = IdentifyProcess(::getpid(), kBoot);
  REQUIRE(self.ok());
  CHECK(self->pid == ::getpid());
  CHECK(self->start_ticks > 0);
  CHECK(IsAlive(*self, kBoot));
  CHECK(OpenProcess(*self, kBoot).ok());

  SECTION("another boot") {
    CHECK_FALSE(IsAlive(*self, "another-boot"));
    CHECK(OpenProcess(*self, "another-boot").status().code() == StatusCode::kNotFound);
  }
  SECTION("the pid was reused") {
    ProcessIdentity before = *self;
    --before.start_ticks;
    CHECK_FALSE(IsAlive(before, kBoot));
    CHECK(OpenProcess(before, kBoot).status().code() == StatusCode::kNotFound);
  }
  SECTION("nothing was recorded") { CHECK_FALSE(IsAlive(ProcessIdentity{}, "")); }
}

TEST_CASE("a child that died is not alive, neither as a zombie nor when it was reaped") {
  Process child = Sleeper();
  const auto identity = IdentifyProcess(child.pid(), kBoot);
  REQUIRE(identity.ok());
  REQUIRE(IsAlive(*identity, kBoot));
  const auto held = OpenProcess(*identity, kBoot);
  REQUIRE(held.ok());
  REQUIRE(child.Signal(SIGKILL).ok());
  pollfd entry{held->get(), POLLIN, 0};
  REQUIRE(::poll(&entry, 1, 10'000) == 1);
  CHECK_FALSE(IsAlive(*identity, kBoot));  // a zombie
  CHECK(IdentifyProcess(child.pid(), kBoot).status().code() == StatusCode::kNotFound);
  CHECK(child.Wait().value_or(-1) == 137);
  CHECK_FALSE(IsAlive(*identity, kBoot));
  CHECK(OpenProcess(*identity, kBoot).status().code() == StatusCode::kNotFound);
  CHECK(CommandLine(child.pid()).empty());
  CHECK(Executable(child.pid()).empty());
  CHECK_FALSE(StatusField(child.pid(), "Seccomp").ok());
  CHECK(NamespaceId(child.pid(), "net").status().code() == StatusCode::kNotFound);
}

TEST_CASE("a name that looks like the end of a name does not confuse the fields") {
  ProcessSpec spec;
  spec.argv = {"sh", "-c", "printf 'x) Z 1 (' > /proc/$$/comm; echo; read line"};
  auto out = MakePipe();
  auto in = MakePipe();
  REQUIRE(out.ok());
  REQUIRE(in.ok());
  spec.descriptors = {{in->first.get(), 0}, {out->second.get(), 1}};
  auto child = Spawn(spec);
  REQUIRE(child.ok());
  char byte = 0;
  REQUIRE(::read(out->first.get(), &byte, 1) == 1);
  const auto identity = IdentifyProcess(child->pid(), kBoot);
  const auto self = IdentifyProcess(::getpid(), kBoot);
  in->second.reset();
  CHECK(child->Wait().ok());
  REQUIRE(identity.ok());
  CHECK(identity->start_ticks >= self->start_ticks);
}

TEST_CASE("what a process is can be read") {
  Process child = Sleeper();
  // Spawn returns when exec has closed its pipe, which is before the kernel fills in the arguments.
  while (CommandLine(child.pid()).empty()) std::this_thread::yield();
  CHECK(CommandLine(child.pid()) == std::vector<std::string>{"sleep", "1000"});
  CHECK(Executable(child.pid()).find("sleep") != std::string::npos);
  CHECK(*StatusField(child.pid(), "NoNewPrivs") == "0");
  CHECK(StatusField(child.pid(), "NoNew").status().code() == StatusCode::kNotFound);
  CHECK(*NamespaceId(child.pid(), "net") == *NamespaceId(::getpid(), "net"));
  CHECK(child.Signal(SIGKILL).ok());
  CHECK(child.Wait().ok());
}

TEST_CASE("the host knows itself") {
  const auto info = ReadHostInfo();
  REQUIRE(info.ok());
  CHECK_FALSE(info->hostname.empty());
  CHECK(info->boot_id.size() == 36);
  CHECK(info->os == "linux");
  CHECK_FALSE(info->kernel_version.empty());
  CHECK(info->page_size_bytes == ::sysconf(_SC_PAGESIZE));
  CHECK(info->cpus > 0);
  CHECK(info->memory_bytes > 64 * kMiB);
}

}  // namespace
}  // namespace claw::host
