#include "tests/support/registry.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <stdexcept>

#include "agent/base/unique_fd.h"
#include "tests/support/image_maker.h"

namespace claw::test {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int FreePort() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no free port");
  }
  return ntohs(address.sin_port);
}

bool Accepts(int port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = Loopback(port);
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

bool HasEnded(const Process& process, int wait_millis) {
  pollfd poll_end{process.pidfd(), POLLIN, 0};
  return ::poll(&poll_end, 1, wait_millis) > 0;
}

}  // namespace

Registry::Registry(const std::filesystem::path& folder) : Registry(folder, Options()) {}

Registry::Registry(const std::filesystem::path& folder, Options options) : folder_(folder) {
  std::filesystem::create_directories(folder_);
  // Somebody else may take the port between the look and the start.
  for (int attempt = 0; attempt < 5; ++attempt) {
    if (Start(options)) return;
  }
  throw std::runtime_error("docker-registry does not start");
}

Registry::~Registry() { Stop(); }

bool Registry::Start(const Options& options) {
  port_ = FreePort();
  std::string config = "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n";
  config += "storage: {filesystem: {rootdirectory: " + (folder_ / "blobs").string() + "}}\n";
  config += "http: {addr: '" + host() + "'}\n";
  if (options.require_login) {
    WriteBytes(folder_ / "htpasswd", "");
    config += "auth: {htpasswd: {realm: test, path: " + (folder_ / "htpasswd").string() + "}}\n";
  }
  const auto file = folder_ / "config.yml";
  WriteBytes(file, config);
  const UniqueFd log(
      ::open((folder_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  auto process = Spawn({.argv = {"docker-registry", "serve", file.string()},
                        .env = {"PATH=/usr/bin:/bin", "HOME=" + folder_.string()},
                        .descriptors = {{log.get(), 1}, {log.get(), 2}}});
  if (!process.ok()) throw std::runtime_error(std::string(process.status().message()));
  process_ = *std::move(process);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    if (HasEnded(process_, /*wait_millis=*/10)) break;
    if (Accepts(port_)) return true;
  }
  Stop();
  return false;
}

void Registry::Stop() {
  if (process_.pid() < 0) return;
  [[maybe_unused]] const Status ignored = process_.Signal(SIGKILL);
  [[maybe_unused]] const auto ended = process_.Wait();
  process_ = Process();
}

void Registry::Push(const std::filesystem::path& layout, const std::string& name,
                    const std::string& format) const {
  ProcessSpec spec;
  spec.argv = {"skopeo",  "--insecure-policy",       "copy",
               "--quiet", "--dest-tls-verify=false", "--dest-no-creds"};
  // Keeping the digests is what a test of them wants; Docker's format cannot.
  if (format == "oci") {
    spec.argv.insert(spec.argv.end(), {"--all", "--preserve-digests"});
  } else {
    spec.argv.insert(spec.argv.end(), {"--format", format});
  }
  spec.argv.push_back("oci:" + layout.string() + ":v1");
  spec.argv.push_back("docker://" + host() + "/" + name);
  spec.env = {"PATH=/usr/bin:/bin", "HOME=" + folder_.string(), "TMPDIR=" + folder_.string(),
              "XDG_RUNTIME_DIR=" + folder_.string(), "_CONTAINERS_ROOTLESS_UID=1"};
  const auto pushed = RunOrError(std::move(spec));
  if (!pushed.ok()) throw std::runtime_error(std::string(pushed.status().message()));
}

}  // namespace claw::test
