#include "tests/e2e/agent.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/host/cgroup.h"
#include "agent/host/process.h"
#include "tests/support/busybox_root.h"

namespace claw::test {
namespace fs = std::filesystem;
namespace {

// The socket on which systemd would be told that the agent is ready.
UniqueFd ListenForReady(const fs::path& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  ::unlink(path.c_str());
  REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  return socket;
}

// A child's environment holds only what it is given; a sanitized one is also told what to do.
std::vector<std::string> Environment(std::vector<std::string> variables) {
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}) {
    const char* value = std::getenv(name);
    if (value != nullptr) variables.push_back(StrCat(name, "=", value));
  }
  return variables;
}

bool AwaitReady(int socket, int pidfd) {
  std::array<char, 1024> buffer;
  while (true) {
    std::array<pollfd, 2> events = {pollfd{socket, POLLIN, 0}, pollfd{pidfd, POLLIN, 0}};
    if (::poll(events.data(), events.size(), 120'000) <= 0) return false;
    if (events[0].revents == 0) return false;  // it ended instead
    const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (got > 0 && std::string_view(buffer.data(), static_cast<size_t>(got)).find("READY=1") !=
                       std::string_view::npos) {
      return true;
    }
  }
}

constexpr int kNotFound = 3;  // exit code of clawctl

}  // namespace

Agent::Agent(AgentSetup setup)
    : state_dir_(std::move(setup.state_dir)), gvisor_works_(setup.gvisor_works) {
  if (state_dir_.empty()) state_dir_ = dir_.path() / "state";
  // What else happens on this machine is not what tests are about, unless they say so.
  if (setup.config.find("[pressure]") == std::string::npos) {
    setup.config += "\n[pressure]\nrefuse_percent = 100\nevict_percent = 100\n";
  }
  config_ = dir_.path() / "clawlet.toml";
  REQUIRE(WriteFileAtomic(config_, setup.config).ok());
  Start();
}

Agent::~Agent() {
  if (!running()) Start();
  const CommandResult listed = Ctl({"ps", "-a", "-q"});
  for (std::string_view id : Split(listed.out, '\n', true)) {
    // Not found: it was about to remove itself (run --rm).
    const int code = Ctl({"rm", "--force", std::string(Trim(id))}).exit_code;
    CHECK((code == 0 || code == kNotFound));
  }
  StopGracefully();
  CHECK(Leftovers() == std::vector<std::string>{});
  CHECK_FALSE(HasOwnCgroup());
}

void Agent::Start() {
  const fs::path notify = dir_.path() / "notify";
  const UniqueFd ready = ListenForReady(notify);
  const UniqueFd log(
      ::open((dir_.path() / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  ProcessSpec spec;
  spec.argv = {CLAW_BIN "/clawlet", "--state-dir", state_dir_, "--run-dir",
               dir_.path() / "run", "--config",    config_};
  spec.env = Environment({"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                          StrCat("NOTIFY_SOCKET=", notify.string())});
  spec.descriptors = {{log.get(), 1}, {log.get(), 2}};
  auto started = Spawn(spec);
  REQUIRE(started.ok());
  process_ = *std::move(started);
  stopping_ = false;
  const bool is_ready = AwaitReady(ready.get(), process_->pidfd());
  if (!is_ready) FAIL("the agent does not come up: " << this->log());
}

void Agent::Kill9() {
  process_->Signal(SIGKILL).IgnoreError();
  process_->Wait().IgnoreError();
  process_.reset();
}

void Agent::BeginStop() {
  process_->Signal(SIGTERM).IgnoreError();
  stopping_ = true;
}

void Agent::StopGracefully() {
  if (!stopping_) BeginStop();  // a second signal would end it at once
  const auto code = process_->Wait();
  process_.reset();
  INFO(log());
  CHECK(code.value_or(-1) == 0);
}

ProcessSpec Agent::CtlCommand(const std::vector<std::string>& args) const {
  ProcessSpec spec;
  spec.argv = {CLAW_BIN "/clawctl", "node"};
  spec.argv.insert(spec.argv.end(), args.begin(), args.end());
  spec.env = Environment({"PATH=/usr/bin:/bin",
                          StrCat("CLAWLET_SOCKET=", (dir_.path() / "run/clawlet.sock").string())});
  return spec;
}

CommandResult Agent::Ctl(std::vector<std::string> args, const std::string& input,
                         std::chrono::seconds timeout) const {
  RunOptions options;
  options.input = input;
  options.timeout = timeout;
  const auto result = Run(CtlCommand(args), options);
  if (!result.ok()) return {.exit_code = -1, .out = "", .err = ToLogString(result.status())};
  return {.exit_code = result->exit_code, .out = result->out, .err = result->err};
}

std::string Agent::Must(std::vector<std::string> args, const std::string& input) const {
  const CommandResult result = Ctl(args, input);
  INFO("clawctl node " << Join(args, " ") << "\n" << result.err << "\nthe agent's log:\n" << log());
  REQUIRE(result.exit_code == 0);
  return std::string(Trim(result.out));
}

std::string Agent::Field(const std::string& sandbox, const std::string& json_pointer) const {
  const auto json = nlohmann::json::parse(Must({"inspect", sandbox, "-o", "json"}), nullptr, false);
  const nlohmann::json::json_pointer pointer(json_pointer);
  if (!json.is_object() || !json.contains(pointer)) return "";
  const auto& value = json[pointer];
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void Agent::Furnish() {
  MakeBusyboxRoot(dir_.path() / "image");
  Must({"image", "import", "rootfs:" + (dir_.path() / "image").string(), "--name", "busybox"});
  // Images of tenants that are not trusted have to be tested first; that takes gVisor.
  if (gvisor_works_) Must({"compat", "test", "busybox", "--probe", "true", "--memory", "32Mi"});
  Must({"tenant", "add", "house", "--trust", "trusted"});
  Must({"tenant", "add", "guest"});
}

std::string Agent::log() const { return ReadFile(dir_.path() / "log").value_or(""); }

std::vector<std::string> Agent::Leftovers() const {
  std::vector<std::string> found;
  const std::string marker = state_dir_.string();
  const std::vector<std::string> processes = ListDirectory("/proc").value();
  for (const std::string& entry : processes) {
    int64_t pid = 0;
    if (!ParseInt(entry, &pid)) continue;
    const std::string words = Join(host::CommandLine(static_cast<pid_t>(pid)), " ");
    if (words.find(marker + "/") != std::string::npos) found.push_back("process " + words);
  }
  for (const char* driver : {"runc", "gvisor", "legacy"}) {
    for (const fs::path& folder :
         {state_dir_ / "sandboxes" / driver, dir_.path() / "run" / driver}) {
      for (const std::string& name : ListDirectory(folder).value_or(std::vector<std::string>())) {
        found.push_back((folder / name).string());
      }
    }
  }
  const std::string mounts = ReadFile("/proc/self/mountinfo").value_or("");
  if (mounts.find(marker + "/") != std::string::npos) found.push_back("a mount below " + marker);
  return found;
}

std::string Agent::OwnCgroup() const {
  const std::string text = log();
  const std::string before = "for tenants, cgroups ";
  const size_t at = text.find(before);
  REQUIRE(at != std::string::npos);
  const size_t begin = at + before.size();
  return text.substr(begin, text.find(' ', begin) - begin);
}

bool Agent::HasOwnCgroup() const {
  const std::string own = OwnCgroup();
  const auto cgroups = host::Cgroups::Detect();
  REQUIRE(cgroups.ok());
  const std::vector<std::string> names = (*cgroups)->Children("");
  return std::find(names.begin(), names.end(), own) != names.end();
}

bool AwaitProcessEnd(int64_t pid) {
  const UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.valid()) return true;
  pollfd event{fd.get(), POLLIN, 0};
  return ::poll(&event, 1, 60'000) == 1;
}

}  // namespace claw::test
