#include "drivers/network/linux/cni.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "drivers/network/cni_config.h"

namespace claw::network {
namespace {

// portmap looks for iptables.
constexpr char kPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// In a plugin, and in what it starts: nobody uses it, it is there to be held.
constexpr int kLockDescriptor = 3;

}  // namespace

StatusOr<std::filesystem::path> Cni::Find(const std::string& plugin) const {
  std::string looked;
  for (const auto& folder : path_) {
    std::filesystem::path candidate = folder / plugin;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    looked += StrCat(looked.empty() ? "" : ":", folder.string());
  }
  return MakeError(StatusCode::kNotFound,
                   StrCat("there is no CNI plugin '", plugin, "' in ", looked,
                          "; Debian has it in the package containernetworking-plugins"),
                   {.reason = "PROGRAM_MISSING", .constraint = plugin});
}

std::vector<std::string> Cni::Environment(const Call& call) const {
  std::string folders;
  for (const auto& folder : path_) {
    folders += StrCat(folders.empty() ? "" : ":", folder.string());
  }
  return {kPath,
          StrCat("CNI_COMMAND=", call.command),
          StrCat("CNI_CONTAINERID=", call.id),
          StrCat("CNI_NETNS=", call.netns),
          StrCat("CNI_IFNAME=", call.interface),
          StrCat("CNI_PATH=", folders)};
}

StatusOr<UniqueFd> Cni::OpenLock() const {
  RETURN_IF_ERROR(EnsureDirectory(lock_folder_, 0755));
  UniqueFd lock(::open(lock_folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.valid()) return ErrnoError(errno, StrCat("open ", lock_folder_.string()));
  return lock;
}

Status Cni::AwaitAll() const {
  using std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kBetween{5};
  ASSIGN_OR_RETURN(const UniqueFd lock, OpenLock());
  const auto end = steady_clock::now() + std::chrono::minutes(1);
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return ErrnoError(errno, StrCat("lock ", lock_folder_.string()));
    }
    if (steady_clock::now() > end) {
      return MakeError(StatusCode::kDeadlineExceeded,
                       "a CNI plugin that an agent before this one has started does not end", {});
    }
    std::this_thread::sleep_for(kBetween);
  }
  return absl::OkStatus();
}

StatusOr<std::string> Cni::Run(const Call& call) const {
  ASSIGN_OR_RETURN(const auto program, Find(call.plugin));
  ASSIGN_OR_RETURN(const UniqueFd lock, OpenLock());
  while (::flock(lock.get(), LOCK_SH) != 0) {
    if (errno != EINTR) return ErrnoError(errno, StrCat("lock ", lock_folder_.string()));
  }
  ProcessSpec spec;
  spec.argv = {program.string()};
  spec.env = Environment(call);
  spec.descriptors = {{lock.get(), kLockDescriptor}};
  // It must not go on behind the back of the agent after this one. What it has started itself does:
  // for that the next agent waits.
  spec.before_exec = [] { return ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 ? 0 : errno; };
  ASSIGN_OR_RETURN(const RunResult result, claw::Run(spec, {.input = call.config}));
  if (result.exit_code == 0) return result.out;
  const std::string message = CniErrorMessage(Trim(result.out).empty() ? result.err : result.out);
  const std::string text = StrCat("CNI plugin ", call.plugin, ", ", call.command, ": ", message);
  if (IsExhausted(message)) {
    return MakeError(StatusCode::kResourceExhausted, text, {.reason = "ADDRESSES_EXHAUSTED"});
  }
  return MakeError(StatusCode::kInternal, text, {.reason = "CNI_FAILED"});
}

StatusOr<std::string> Cni::Version() const {
  ASSIGN_OR_RETURN(const auto program, Find("bridge"));
  ProcessSpec spec;
  spec.argv = {program.string()};
  ASSIGN_OR_RETURN(const RunResult result, claw::Run(spec));
  // "CNI bridge plugin v1.1.1" on the first line, with no command set.
  const std::string_view first = Split(result.err, '\n').front();
  const size_t space = first.rfind(' ');
  return std::string(space == std::string_view::npos ? "unknown" : first.substr(space + 1));
}

}  // namespace claw::network
