#include "tests/bench/peers.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/host/host_info.h"
#include "drivers/oci/bundle.h"

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

AdoptOrphans::AdoptOrphans() {
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) Die("cannot adopt orphans");
}

AdoptOrphans::~AdoptOrphans() { ::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); }

BareRuntime::BareRuntime(std::string kind, fs::path dir, const fs::path& root)
    : kind_(std::move(kind)), dir_(std::move(dir)) {
  WritePlain(dir_ / "sleep", root, {"sleep", "1000"});
  WritePlain(dir_ / "true", root, {"true"});
  WriteConfined(dir_ / "confined", root);
}

std::vector<std::string> BareRuntime::Command(std::vector<std::string> arguments) const {
  std::vector<std::string> argv = {kind_, StrCat("--root=", (dir_ / "state").string())};
  if (kind_ == "runsc") argv.insert(argv.end(), {"--platform=ptrace", "--network=none"});
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

void BareRuntime::WritePlain(const fs::path& bundle, const fs::path& root,
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

void BareRuntime::WriteConfined(const fs::path& bundle, const fs::path& root) const {
  fs::create_directories(bundle);
  fs::permissions(bundle, fs::perms(0711));
  fs::permissions(dir_, fs::perms(0711));
  const drivers::MountPoints points(bundle);
  fs::copy(root, points.rootfs(), fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  drivers::LaunchSpec spec;
  spec.argv = {"/bin/sleep", "1000"};
  spec.env = {"PATH=/bin"};
  spec.working_directory = "/";
  spec.hostname = "bench";
  drivers::BundleOptions options;
  const auto host = host::ReadHostInfo();
  if (!host.ok()) Die(ToLogString(host.status()));
  options.architecture = host->architecture;
  if (kind_ == "runc") {
    options.seccomp = true;
    options.cgroup_namespace = true;
    options.id_base = 1u << 20;
  }
  options.memory_limit_bytes = 256 << 20;
  MustWrite(bundle / "config.json", drivers::BundleConfig(spec, points, options));
}

void BareRuntime::CreateAndStart(const std::string& id, Bundle bundle) {
  const fs::path folder = dir_ / (bundle == Bundle::kPlain ? "sleep" : "confined");
  MustSpawn(Command({"create", StrCat("--bundle=", folder.string()),
                     StrCat("--pid-file=", (dir_ / (id + ".pid")).string()), id}));
  MustSpawn(Command({"start", id}));
}

std::vector<pid_t> BareRuntime::ProcessesOf(const std::string& id) const {
  std::vector<pid_t> pids;
  int64_t pid = 0;
  const std::string text = ReadFile(dir_ / (id + ".pid")).value_or("");
  if (ParseInt(Trim(text), &pid)) pids.push_back(static_cast<pid_t>(pid));
  if (kind_ != "runsc") return pids;
  const std::string state =
      ReadFile(dir_ / "state" / StrCat(id, "_sandbox:", id, ".state")).value_or("");
  const auto json = nlohmann::json::parse(state, nullptr, false);
  if (json.is_object()) pids.push_back(json.value("goferPid", 0));
  return pids;
}

void BareRuntime::Remove(const std::string& id) {
  const std::vector<pid_t> pids = ProcessesOf(id);
  MustSpawn(Command({"kill", id, "KILL"}));
  for (const pid_t pid : pids) {
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
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
