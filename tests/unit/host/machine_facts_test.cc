#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "agent/host/folder_facts.h"
#include "agent/host/hardening.h"
#include "tests/support/temp_dir.h"

namespace claw::host {
namespace {

namespace fs = std::filesystem;
using State = KernelSetting::State;

// Some files of a Debian 12 with cgroup v1, as they were read there.
class Machine {
 public:
  Machine() {
    Write("proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
    Write("proc/sys/kernel/kexec_load_disabled", "0\n");
    Write("proc/sys/kernel/core_pattern", "|/usr/lib/systemd/systemd-coredump %P %u\n");
    Write("proc/sys/kernel/yama/ptrace_scope", "1\n");
    Write("proc/sys/fs/protected_symlinks", "1\n");
    Write("proc/sys/vm/unprivileged_userfaultfd", "0\n");
    Write("proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    Write("proc/cgroups",
          "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
          "cpu\t3\t84\t1\n"
          "memory\t5\t121\t1\n"
          "devices\t6\t73\t0\n"
          "pids\t9\t91\t1\n");
    Write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    fs::create_directories(root() / "sys/fs/cgroup/memory");
  }

  fs::path root() const { return dir_.path(); }

  void Write(const std::string& name, const std::string& text) const {
    fs::create_directories((root() / name).parent_path());
    std::ofstream(root() / name) << text;
  }
  void Remove(const std::string& name) const { fs::remove_all(root() / name); }

  MachineFacts Read() const {
    const auto facts = ReadMachineFacts({.root = root(), .state_dir = root(), .run_dir = "/none"});
    REQUIRE(facts.ok());
    return *facts;
  }

 private:
  test::TempDir dir_;
};

TEST_CASE("a machine's settings are read as they stand") {
  const Machine machine;
  const MachineFacts facts = machine.Read();
  CHECK(facts.os == "linux");
  const auto is = [&facts](const std::string& name, const std::string& value) {
    const KernelSetting& found = facts.settings.at(name);
    return found.state == State::kRead && found.value == value;
  };
  CHECK(is("kernel.unprivileged_bpf_disabled", "2"));
  CHECK(is("kernel.kexec_load_disabled", "0"));
  CHECK(is("kernel.core_pattern", "|/usr/lib/systemd/systemd-coredump %P %u"));
  CHECK(is("kernel.yama.ptrace_scope", "1"));
  CHECK(is("fs.protected_symlinks", "1"));
  CHECK(is("vm.unprivileged_userfaultfd", "0"));
  CHECK(facts.lockdown == KernelSetting{.state = State::kRead, .value = "integrity"});
  CHECK(facts.controllers == std::vector<std::string>{"cpu", "memory", "pids"});
  CHECK_FALSE(facts.swap_on);
  CHECK(facts.clock_is_synchronised.has_value());
  CHECK(facts.state_dir.exists);
  CHECK(facts.state_dir.mode == 0711);
  CHECK(facts.state_dir.uid == ::geteuid());
  CHECK(facts.state_dir.free_bytes > 0);
  CHECK_FALSE(facts.run_dir.exists);
  CHECK(facts.run_dir.path == "/none");
}

TEST_CASE("a setting that the kernel lacks is told from one that cannot be read") {
  const Machine machine;
  machine.Remove("proc/sys/kernel/unprivileged_bpf_disabled");
  machine.Remove("proc/sys/kernel/kexec_load_disabled");
  // Reading a folder is an error that root meets, too.
  fs::create_directories(machine.root() / "proc/sys/kernel/kexec_load_disabled");
  machine.Write("proc/sys/kernel/yama/ptrace_scope", std::string(70'000, '1'));
  machine.Write("proc/sys/kernel/core_pattern", "");
  machine.Remove("sys/kernel/security");
  const MachineFacts facts = machine.Read();
  CHECK(facts.settings.at("kernel.unprivileged_bpf_disabled").state == State::kAbsent);
  CHECK(facts.settings.at("kernel.dmesg_restrict").state == State::kAbsent);
  const KernelSetting& folder = facts.settings.at("kernel.kexec_load_disabled");
  CHECK(folder.state == State::kUnreadable);
  CHECK_FALSE(folder.value.empty());
  CHECK(facts.settings.at("kernel.yama.ptrace_scope").state == State::kUnreadable);
  CHECK(facts.settings.at("kernel.core_pattern") == KernelSetting{.state = State::kRead});
  CHECK(facts.lockdown.state == State::kAbsent);
}

TEST_CASE("lockdown is what stands in brackets, or all that stands there") {
  const Machine machine;
  const auto lockdown = [&machine](const std::string& text) {
    machine.Write("sys/kernel/security/lockdown", text);
    return machine.Read().lockdown.value;
  };
  CHECK(lockdown("[none] integrity confidentiality\n") == "none");
  CHECK(lockdown("none integrity [confidentiality]\n") == "confidentiality");
  CHECK(lockdown("]none[\n") == "]none[");
  CHECK(lockdown("") == "");
}

TEST_CASE("swap is on if there is any, and its accounting is looked for in v1 and v2") {
  const Machine machine;
  CHECK(machine.Read().swap_is_accounted == false);
  machine.Write("sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "9223372036854771712\n");
  CHECK(machine.Read().swap_is_accounted == true);
  machine.Remove("sys/fs/cgroup/memory");
  CHECK_FALSE(machine.Read().swap_is_accounted.has_value());
  machine.Write("sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
  CHECK_FALSE(machine.Read().swap_is_accounted.has_value());
  machine.Write("sys/fs/cgroup/system.slice/memory.max", "max\n");
  CHECK(machine.Read().swap_is_accounted == false);
  machine.Write("sys/fs/cgroup/system.slice/memory.swap.max", "max\n");
  CHECK(machine.Read().swap_is_accounted == true);
  machine.Write("proc/swaps",
                "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
                "/dev/dm-1                               partition\t999420\t\t0\t\t-2\n");
  CHECK(machine.Read().swap_on);
}

TEST_CASE("controllers are those that are on, whatever else stands in the file") {
  const Machine machine;
  const auto controllers = [&machine](const std::string& text) {
    machine.Write("proc/cgroups", text);
    return machine.Read().controllers;
  };
  CHECK(controllers("").empty());
  CHECK(controllers("\n\n#memory 1 1 1\nmemory\nmemory 1 1\nmemory 1 1 1 1\nmemory 1 1 yes\n")
            .empty());
  CHECK(controllers("pids 0 1 1") == std::vector<std::string>{"pids"});
  machine.Remove("proc/cgroups");
  CHECK(machine.Read().controllers.empty());
}

TEST_CASE("without /proc nothing is known, and that is said") {
  const Machine machine;
  machine.Remove("proc/swaps");
  const auto no_swaps = ReadMachineFacts({.root = machine.root()});
  CHECK(no_swaps.status().code() == StatusCode::kNotFound);
  machine.Remove("proc");
  const auto nothing = ReadMachineFacts({.root = machine.root()});
  CHECK(nothing.status().code() == StatusCode::kNotFound);
  CHECK_THAT(std::string(nothing.status().message()), Catch::Contains("is /proc mounted?"));
}

TEST_CASE("this machine can be read") {
  const test::TempDir dir;
  const auto facts = ReadMachineFacts({.state_dir = dir.path(), .run_dir = dir.path()});
  REQUIRE(facts.ok());
  CHECK(facts->settings.at("kernel.core_pattern").state == State::kRead);
  CHECK_FALSE(facts->controllers.empty());
}

TEST_CASE("a folder's facts are those of the folder and of nothing else") {
  const test::TempDir dir;
  std::ofstream(dir.path() / "file") << "x";
  CHECK_FALSE(ReadFolderFacts(dir.path() / "file").exists);
  CHECK_FALSE(ReadFolderFacts("").exists);
  REQUIRE(::chmod(dir.path().c_str(), 01750) == 0);
  CHECK(ReadFolderFacts(dir.path()).mode == 01750);
}

}  // namespace
}  // namespace claw::host
