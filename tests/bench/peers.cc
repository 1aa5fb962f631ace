#include "tests/bench/peers.h"

#include <fcntl.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/strings.h"

namespace claw::bench {
namespace fs = std::filesystem;

namespace {

const char* const kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "benchmark: %s\n", why.c_str());
  std::exit(1);
}

void MustWrite(const fs::path& path, const std::string& text, mode_t mode = 0644) {
  const Status written = WriteFileAtomic(path, text, mode);
  if (!written.ok()) Die(ToLogString(written));
}

// A program whose output nobody reads and that may leave others behind (a runtime's create).
void MustSpawn(const std::vector<std::string>& argv) {
  ProcessSpec spec;
  spec.argv = argv;
  spec.env = {kPath};
  auto process = Spawn(spec);
  if (!process.ok()) Die(ToLogString(process.status()));
  const auto code = process->Wait();
  if (code.value_or(-1) != 0) Die(StrCat(Join(argv, " "), " exited with ", code.value_or(-1)));
}

}  // namespace

void MustRun(const std::vector<std::string>& argv) {
  ProcessSpec spec;
  spec.argv = argv;
  spec.env = {kPath, "HOME=/root"};
  const auto result = Run(spec);
  if (!result.ok()) Die(ToLogString(result.status()));
  if (result->exit_code != 0) {
    Die(StrCat(Join(argv, " "), " exited with ", result->exit_code, ": ", result->err));
  }
}

fs::path RunscWrapper(const fs::path& dir) {
  fs::path wrapper = dir / "runsc-wrapper";
  MustWrite(wrapper, "#!/bin/sh\nexec runsc --platform=ptrace --network=none \"$@\"\n", 0755);
  return wrapper;
}

BareRuntime::BareRuntime(std::string kind, fs::path dir, const fs::path& root)
    : kind_(std::move(kind)), dir_(std::move(dir)) {
  WriteBundle(dir_ / "sleep", root, {"sleep", "1000"});
  WriteBundle(dir_ / "true", root, {"true"});
}

std::vector<std::string> BareRuntime::Command(std::vector<std::string> arguments) const {
  std::vector<std::string> argv = {kind_, StrCat("--root=", (dir_ / "state").string())};
  if (kind_ == "runsc") argv.insert(argv.end(), {"--platform=ptrace", "--network=none"});
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

void BareRuntime::WriteBundle(const fs::path& bundle, const fs::path& root,
                              const std::vector<std::string>& argv) const {
  fs::create_directories(bundle);
  nlohmann::json namespaces = nlohmann::json::array();
  for (const char* type : {"pid", "ipc", "uts", "mount", "network"}) {
    namespaces.push_back({{"type", type}});
  }
  const nlohmann::json config = {
      {"ociVersion", "1.0.2"},
      {"process",
       {{"user", {{"uid", 0}, {"gid", 0}}},
        {"args", argv},
        {"env", {"PATH=/bin"}},
        {"cwd", "/"},
        {"noNewPrivileges", true}}},
      {"root", {{"path", root.string()}, {"readonly", false}}},
      {"hostname", "bench"},
      {"mounts",
       {{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
        {{"destination", "/dev"}, {"type", "tmpfs"}, {"source", "tmpfs"}}}},
      {"linux", {{"namespaces", namespaces}, {"resources", {{"memory", {{"limit", 256 << 20}}}}}}}};
  MustWrite(bundle / "config.json", config.dump());
}

void BareRuntime::CreateAndStart(const std::string& id) {
  MustSpawn(Command({"create", StrCat("--bundle=", (dir_ / "sleep").string()), id}));
  MustSpawn(Command({"start", id}));
}

void BareRuntime::Remove(const std::string& id) {
  MustSpawn(Command({"kill", id, "KILL"}));
  MustSpawn(Command({"delete", "--force", id}));
}

void BareRuntime::RunToExit(const std::string& id) {
  MustSpawn(Command({"run", StrCat("--bundle=", (dir_ / "true").string()), id}));
}

Podman::Podman(std::string kind, fs::path dir, fs::path root)
    : kind_(std::move(kind)), dir_(std::move(dir)), root_(std::move(root)) {
  fs::create_directories(dir_);
}

void Podman::RunToExit() {
  const std::string runtime = kind_ == "runc" ? "runc" : RunscWrapper(dir_).string();
  MustRun({"podman", StrCat("--root=", (dir_ / "root").string()),
           StrCat("--runroot=", (dir_ / "run").string()),
           StrCat("--tmpdir=", (dir_ / "tmp").string()), "--storage-driver=vfs",
           "--cgroup-manager=cgroupfs", "--events-backend=file", StrCat("--runtime=", runtime),
           "run", "--rm", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096",
           "--rootfs", root_.string(), "/bin/true"});
}

Containerd::Containerd(fs::path dir, fs::path root) : dir_(std::move(dir)), root_(std::move(root)) {
  fs::create_directories(dir_);
  MustWrite(dir_ / "config.toml", StrCat("version = 2\nroot = \"", (dir_ / "root").string(),
                                         "\"\nstate = \"", (dir_ / "state").string(),
                                         "\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n",
                                         "[grpc]\naddress = \"", (dir_ / "sock").string(), "\"\n"));
  RunscWrapper(dir_);
  ProcessSpec spec;
  spec.argv = {"containerd", "--config", (dir_ / "config.toml").string()};
  spec.env = {kPath};
  auto daemon = Spawn(spec);
  if (!daemon.ok()) Die(ToLogString(daemon.status()));
  daemon_ = *std::move(daemon);
  // containerd tells nobody but systemd when it is ready.
  for (int attempt = 0; attempt < 200; ++attempt) {
    const auto answer = Run({.argv = {"ctr", "--address", (dir_ / "sock").string(), "version"}});
    if (answer.ok() && answer->exit_code == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  Die("containerd does not come up");
}

Containerd::~Containerd() {
  if (!daemon_) return;
  daemon_->Signal(SIGTERM).IgnoreError();
  daemon_->Wait().IgnoreError();
}

void Containerd::RunToExit(const std::string& kind, const std::string& id) {
  const std::string binary = kind == "runc" ? "runc" : (dir_ / "runsc-wrapper").string();
  MustRun({"ctr", "--address", (dir_ / "sock").string(), "run", "--rm", "--runtime",
           "io.containerd.runc.v2", "--runc-binary", binary, "--rootfs", root_.string(), id,
           "/bin/true"});
}

}  // namespace claw::bench
