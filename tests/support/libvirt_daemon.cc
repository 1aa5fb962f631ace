#include "tests/support/libvirt_daemon.h"

#include <poll.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <iterator>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/host/process.h"

namespace claw::test {
namespace {

namespace fs = std::filesystem;

// As vm/libvirt/embedded.cc has it, and nothing of the machine's own.
constexpr std::string_view kQemuSettings = R"(stdio_handler = "file"
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
namespaces = []
)";

// $1: the folder.
constexpr const char* kStart = R"(set -e
for pair in run:/run/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt etc:/etc/libvirt; do
  mkdir -p "${pair#*:}"
  mount --bind "$1/${pair%%:*}" "${pair#*:}"
done
exec libvirtd --config "$1/etc/libvirtd.conf" --pid-file "$1/pid"
)";

// What libvirt has found out about QEMU, which takes it some 12 s: for all daemons of a process.
const fs::path& Cache() {
  static const TempDir cache;
  return cache.path();
}

}  // namespace

LibvirtDaemon::LibvirtDaemon() {
  // As agent/main.cc does: libvirt writes to a socket whose other end may have died.
  std::signal(SIGPIPE, SIG_IGN);
  for (const char* folder : {"run", "lib", "etc", "sock"}) {
    fs::create_directory(path() / folder);
  }
  fs::create_directory_symlink(Cache(), path() / "cache");
  std::ofstream(path() / "etc/qemu.conf") << kQemuSettings;
  std::ofstream(path() / "etc/libvirtd.conf")
      << "unix_sock_dir = \"" << (path() / "sock").string() << "\"\n"
      << "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nlog_level = 3\n"
      << "log_outputs = \"3:file:" << (path() / "log").string() << "\"\n";
}

LibvirtDaemon::~LibvirtDaemon() {
  if (process_) Kill9();
  KillQemusOf(path());
}

void LibvirtDaemon::Start() {
  const ProcessSpec spec{
      .argv = {"unshare", "--mount", "sh", "-c", kStart, "sh", path().string()},
      .env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
      .new_session = true};
  auto started = Spawn(spec);
  REQUIRE(started.ok());
  process_ = std::move(*started);
  pollfd end{.fd = process_->pidfd(), .events = POLLIN, .revents = 0};
  for (;;) {
    const auto answered = Run({.argv = {"virsh", "-c", uri(), "version"}});
    REQUIRE(answered.ok());
    if (answered->exit_code == 0) return;
    INFO(log());
    REQUIRE(::poll(&end, 1, 50) == 0);  // it lives
  }
}

void LibvirtDaemon::Kill9() {
  REQUIRE(process_->Signal(SIGKILL).ok());
  REQUIRE(process_->Wait().ok());
  process_.reset();
}

std::string LibvirtDaemon::uri() const {
  return StrCat("qemu+unix:///system?socket=", (path() / "sock/libvirt-sock").string());
}

std::vector<pid_t> LibvirtDaemon::Qemus() const { return QemusOf(path()); }

std::string LibvirtDaemon::log() const { return ReadFile(path() / "log").value_or(""); }

std::vector<pid_t> QemusOf(const fs::path& path) {
  std::vector<pid_t> found;
  const std::vector<std::string> names = ListDirectory("/proc").value();
  for (const std::string& name : names) {
    int64_t pid = 0;
    if (!ParseInt(name, &pid)) continue;
    const std::vector<std::string> words = host::CommandLine(static_cast<pid_t>(pid));
    if (words.empty() || words[0].find("qemu-") == std::string::npos) continue;
    if (Join(words, " ").find(path.string()) == std::string::npos) continue;
    found.push_back(static_cast<pid_t>(pid));
  }
  return found;
}

void KillQemusOf(const fs::path& path) {
  for (const pid_t pid : QemusOf(path)) ::kill(pid, SIGKILL);
  while (!QemusOf(path).empty()) ::poll(nullptr, 0, 10);
}

std::string IdleKernel() {
  constexpr unsigned char kCode[] = {0x7f, 0x20, 0x03, 0xd5,   // wfi
                                     0xff, 0xff, 0xff, 0x17};  // b -4
  return std::string(std::begin(kCode), std::end(kCode));
}

vm::DomainSpec IdleDomain(const fs::path& folder, const std::string& owner, const std::string& vm) {
  std::ofstream(folder / "kernel") << IdleKernel();
  std::ofstream(folder / "initramfs") << "none";
  const std::string uuid = ReadFile("/proc/sys/kernel/random/uuid").value();
  vm::DomainSpec spec{.owner = owner,
                      .vm = vm,
                      .uuid = uuid.substr(0, 36),
                      .memory_bytes = 64 * kMiB,
                      .host_port = 20001,
                      .console_log = folder / StrCat(vm, ".log")};
  spec.direct = vm::DirectBoot{
      .kernel = folder / "kernel", .initramfs = folder / "initramfs", .command_line = "none"};
  return spec;
}

vm::HypervisorOptions HypervisorWatch::Options(std::string uri, std::string owner) {
  vm::HypervisorOptions options{.uri = std::move(uri), .owner = std::move(owner)};
  options.on_event = [this](const std::string& vm, vm::DomainEvent event) {
    const std::lock_guard<std::mutex> lock(mutex_);
    events_.emplace_back(vm, event);
    changed_.notify_all();
  };
  options.on_lost = [this] {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++lost_;
    changed_.notify_all();
  };
  return options;
}

void HypervisorWatch::Await(const std::string& vm, vm::DomainEvent event) {
  std::unique_lock<std::mutex> lock(mutex_);
  const std::pair<std::string, vm::DomainEvent> wanted(vm, event);
  std::vector<std::pair<std::string, vm::DomainEvent>>::iterator found;
  changed_.wait(lock, [&] {
    found = std::find(events_.begin(), events_.end(), wanted);
    return found != events_.end();
  });
  events_.erase(events_.begin(), found + 1);
}

void HypervisorWatch::AwaitLost() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return lost_ > 0; });
  --lost_;
}

}  // namespace claw::test
