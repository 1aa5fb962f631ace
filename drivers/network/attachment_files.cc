#include "drivers/network/attachment_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/unique_fd.h"

namespace claw::network {
namespace {

using nlohmann::json;

constexpr char kIpam[] = "ipam";
constexpr char kState[] = "plan-state.json";

std::string Text(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

int Number(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_number_integer() ? it->get<int>() : 0;
}

}  // namespace

Status AttachmentFiles::WriteState(const AttachmentState& state) const {
  json ports = json::array();
  for (const PortMapping& port : state.ports) {
    ports.push_back({{"host_port", port.host_port},
                     {"sandbox_port", port.sandbox_port},
                     {"protocol", std::string(ToString(port.protocol))},
                     {"host_address", port.host_address}});
  }
  const NetworkAttachment& at = state.attachment;
  const json made{{"version", 1},
                  {"id", state.id},
                  {"bridge", state.bridge},
                  {"ipv4", at.ipv4},
                  {"ipv6", at.ipv6},
                  {"mac", at.mac},
                  {"host_interface", at.host_interface},
                  {"ports", std::move(ports)}};
  RETURN_IF_ERROR(EnsureDirectory(run_dir_ / state.id, 0755));
  return WriteFileAtomic(run_dir_ / state.id / kState, made.dump());
}

StatusOr<AttachmentState> AttachmentFiles::ReadState(const std::string& id) const {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(run_dir_ / id / kState));
  const json read = json::parse(text, nullptr, false);
  if (!read.is_object()) return DataLoss("the network state of sandbox ", id, " is no JSON");
  AttachmentState state{.id = id, .bridge = Text(read, "bridge")};
  state.attachment = {.ipv4 = Text(read, "ipv4"),
                      .ipv6 = Text(read, "ipv6"),
                      .mac = Text(read, "mac"),
                      .host_interface = Text(read, "host_interface"),
                      .bridge = state.bridge};
  const auto ports = read.find("ports");
  if (ports == read.end() || !ports->is_array()) return state;
  for (const json& port : *ports) {
    if (!port.is_object()) continue;
    const auto protocol = ParseProtocol(Text(port, "protocol"));
    state.ports.push_back({.host_port = Number(port, "host_port"),
                           .sandbox_port = Number(port, "sandbox_port"),
                           .protocol = protocol.ok() ? *protocol : Protocol::kTcp,
                           .host_address = Text(port, "host_address")});
  }
  return state;
}

NetworkFiles AttachmentFiles::Files(const std::string& id) const {
  return {.hosts = run_dir_ / id / "hosts", .resolv_conf = run_dir_ / id / "resolv.conf"};
}

Status AttachmentFiles::WriteInPlace(const std::filesystem::path& path, std::string_view text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd.valid()) return ErrnoError(errno, StrCat("open ", path.string()));
  // First the new text, then the end: who reads meanwhile never finds it empty.
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t put = ::pwrite(fd.get(), text.data() + written, text.size() - written,
                                 static_cast<off_t>(written));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoError(errno, StrCat("write ", path.string()));
    written += static_cast<size_t>(put);
  }
  if (::ftruncate(fd.get(), static_cast<off_t>(text.size())) != 0) {
    return ErrnoError(errno, StrCat("cut ", path.string()));
  }
  return absl::OkStatus();
}

Status AttachmentFiles::Remove(const std::string& id) const { return RemoveTree(run_dir_ / id); }

// host-local keeps a file for each address, with "ID\r\nINTERFACE" in it.
template <typename Take>
Status AttachmentFiles::EachAddress(const Take& take) const {
  const auto bridges = ListDirectory(run_dir_ / kIpam);
  if (absl::IsNotFound(bridges.status())) return absl::OkStatus();
  RETURN_IF_ERROR(bridges.status());
  for (const std::string& bridge : *bridges) {
    ASSIGN_OR_RETURN(const auto files, ListDirectory(run_dir_ / kIpam / bridge));
    for (const std::string& file : files) {
      if (!ParseIpAddress(file).ok()) continue;
      const auto content = ReadFile(run_dir_ / kIpam / bridge / file);
      if (!content.ok()) continue;  // freed meanwhile
      take(bridge, std::string(Trim(Split(*content, '\n').front())));
    }
  }
  return absl::OkStatus();
}

StatusOr<std::set<std::string>> AttachmentFiles::Ids() const {
  std::set<std::string> ids;
  const auto folders = ListDirectory(run_dir_);
  if (!folders.ok() && !absl::IsNotFound(folders.status())) return folders.status();
  if (folders.ok()) ids.insert(folders->begin(), folders->end());
  ids.erase(kIpam);
  RETURN_IF_ERROR(EachAddress([&](const std::string&, std::string id) {
    if (!id.empty()) ids.insert(std::move(id));
  }));
  return ids;
}

StatusOr<std::set<std::string>> AttachmentFiles::BridgesOf(const std::string& id) const {
  std::set<std::string> bridges;
  RETURN_IF_ERROR(EachAddress([&](const std::string& bridge, const std::string& owner) {
    if (owner == id) bridges.insert(bridge);
  }));
  return bridges;
}

}  // namespace claw::network
