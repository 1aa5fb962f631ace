#include "drivers/oci/conmon.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"

namespace claw::drivers {
namespace {

constexpr int kSyncFd = 3;

std::vector<std::string> ConmonArgv(const ConmonSpec& spec, const Layout& layout) {
  std::vector<std::string> argv = {
      spec.conmon_path, "--api-version", "1", "-c", spec.id, "-u", spec.id, "-n", spec.id, "-r",
      spec.runtime_path};
  for (const std::string& flag : spec.runtime_flags) argv.push_back("--runtime-arg=" + flag);
  const std::vector<std::string> rest = {"-b",
                                         layout.dir,
                                         "--full-attach",
                                         "--exit-dir",
                                         layout.exit_dir(),
                                         "-p",
                                         layout.pid(),
                                         "-P",
                                         layout.conmon_pid(),
                                         "-l",
                                         "k8s-file:" + layout.log().string(),
                                         "--log-size-max",
                                         StrCat(spec.log_max_bytes),
                                         "--socket-dir-path",
                                         layout.dir,
                                         "--persist-dir",
                                         layout.persist()};
  argv.insert(argv.end(), rest.begin(), rest.end());
  // Else its end, and everyone who waits for that, waits for the disk. What a power cut may take is
  // the end of a log.
  argv.push_back("--no-sync-log");
  if (spec.tty) argv.push_back("-t");
  if (spec.stdin_open) argv.push_back("-i");
  return argv;
}

// One line of JSON from conmon, or what came before it closed the pipe.
StatusOr<std::string> ReadSync(int fd, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::string text;
  while (text.find('\n') == std::string::npos) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd entry{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&entry, 1, static_cast<int>(left.count())) == 0) {
      return MakeError(
          StatusCode::kDeadlineExceeded,
          StrCat("the runtime did not create the container within ", timeout.count(), " ms"),
          {.reason = "RUNTIME_TIMEOUT"});
    }
    std::array<char, 4096> buffer;
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(got));
    if (text.size() > 1 << 20) break;
  }
  return text;
}

// runc looks for the program when it creates the container; that it cannot be executed is the
// caller's mistake.
Status RuntimeRefused(std::string_view message) {
  const bool about_program = message.find("exec: ") != std::string_view::npos;
  for (const std::string_view cause : {"executable file not found", "no such file or directory",
                                       "permission denied", "is a directory"}) {
    if (about_program && message.find(cause) != std::string_view::npos) {
      return MakeError(StatusCode::kInvalidArgument,
                       StrCat("the program cannot be executed in the sandbox: ", cause),
                       {.reason = "COMMAND_NOT_FOUND", .constraint = "command"});
    }
  }
  return Internal("the runtime refused: ", message);
}

StatusOr<pid_t> ParseSync(const std::string& text, const Layout& layout) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_object() && json.contains("data") && json["data"].is_number_integer()) {
    const auto pid = json["data"].get<int64_t>();
    if (pid > 0) return static_cast<pid_t>(pid);
    const auto message = json.find("message");
    if (message != json.end() && message->is_string()) {
      return RuntimeRefused(Trim(message->get<std::string>()));
    }
  }
  // Some failures only reach the log.
  const std::string log = ReadFile(layout.log(), 65536).value_or("");
  return Internal("the runtime did not create the container: ", Trim(text), " ", Trim(log));
}

}  // namespace

StatusOr<pid_t> LaunchConmon(const ConmonSpec& spec, const Layout& layout, const RootMount& root,
                             std::chrono::milliseconds timeout) {
  ASSIGN_OR_RETURN(auto sync, MakePipe());
  ProcessSpec process;
  process.argv = ConmonArgv(spec, layout);
  process.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                 StrCat("_OCI_SYNCPIPE=", kSyncFd)};
  process.working_directory = layout.dir;
  process.descriptors = {{sync.second.get(), kSyncFd}};
  process.new_session = true;
  process.before_exec = [&root] { return root.EnterAndMount(); };
  ASSIGN_OR_RETURN(Process conmon, Spawn(process));
  sync.second.reset();
  const StatusOr<std::string> text = ReadSync(sync.first.get(), timeout);
  // The process that was started only forks the supervisor and ends.
  if (!text.ok()) conmon.Signal(SIGKILL).IgnoreError();
  RETURN_IF_ERROR(conmon.Wait().status());
  RETURN_IF_ERROR(text.status());
  return ParseSync(*text, layout);
}

std::optional<ConmonExit> ReadConmonExit(const Layout& layout, const std::string& id) {
  const std::filesystem::path file = layout.exit_dir() / id;
  const StatusOr<std::string> text = ReadFile(file, 64);
  int64_t code = 0;
  struct stat info {};
  if (!text.ok() || !ParseInt(Trim(*text), &code) || ::stat(file.c_str(), &info) != 0) {
    return std::nullopt;
  }
  ConmonExit exit;
  exit.exit_code = static_cast<int>(code);
  exit.exited_at = FromMicros(info.st_mtim.tv_sec * 1'000'000 + info.st_mtim.tv_nsec / 1000);
  std::error_code error;
  exit.oom = std::filesystem::exists(layout.persist() / "oom", error) ||
             std::filesystem::exists(layout.dir / "oom", error);
  return exit;
}

StatusOr<UniqueFd> ConnectInput(const Layout& layout) {
  const UniqueFd folder(::open(layout.dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!folder.valid() || !socket.valid()) return ErrnoError(errno, "attach");
  const std::string path = StrCat("/proc/self/fd/", folder.get(), "/attach");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return Annotate(ErrnoError(errno, "connect to the supervisor"), "attach");
  }
  return socket;
}

Status ResizeConsole(const Layout& layout, int rows, int columns) {
  // A FIFO; without a reader the open must not block.
  const UniqueFd control(::open(layout.control().c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!control.valid()) return ErrnoError(errno, "open the supervisor's control pipe");
  const std::string message = StrCat("1 ", rows, " ", columns, "\n");
  if (::write(control.get(), message.data(), message.size()) < 0) {
    return ErrnoError(errno, "resize the terminal");
  }
  return absl::OkStatus();
}

}  // namespace claw::drivers
