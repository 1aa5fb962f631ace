#include "drivers/image/users.h"

#include <absl/strings/ascii.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>

#include "drivers/image/errors.h"
#include "drivers/image/tree_access.h"

namespace claw::image {
namespace {

constexpr size_t kMaxDatabaseBytes = 4 << 20;
constexpr int64_t kMaxId = INT32_MAX;  // what runtimes take

// A file of the image; empty if there is none, or if it is no regular file.
StatusOr<std::string> ReadInRoot(const std::filesystem::path& rootfs, const char* name) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenInRoot(rootfs, name));
  if (!fd.valid()) return std::string();
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::string();
  std::string content;
  std::array<char, 16384> buffer;
  while (content.size() <= kMaxDatabaseBytes) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, StrCat("read ", name, " of the image"));
    if (got == 0) return content;
    content.append(buffer.data(), static_cast<size_t>(got));
  }
  return CorruptImage(StrCat(name, " of the image is beyond reason"));
}

std::optional<int64_t> ParseId(std::string_view text) {
  int64_t id = 0;
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
  if (!digits || !ParseInt(text, &id) || id > kMaxId) return std::nullopt;
  return id;
}

// A line of passwd or group: name, id, and the field behind it (gid, or the members).
struct Entry {
  std::string_view name;
  int64_t id = 0;
  std::string_view extra;
};

// Lines that are not well-formed are passed over, as the C library does.
std::vector<Entry> ParseDatabase(std::string_view text) {
  std::vector<Entry> entries;
  for (const std::string_view line : Split(text, '\n')) {
    const std::vector<std::string_view> fields = Split(line, ':');
    if (fields.size() < 4 || fields[0].empty()) continue;
    const auto id = ParseId(fields[2]);
    if (id) entries.push_back({fields[0], *id, fields[3]});
  }
  return entries;
}

const Entry* Find(const std::vector<Entry>& entries, std::string_view name_or_id) {
  const auto id = ParseId(name_or_id);
  const auto it = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) {
    return id ? entry.id == *id : entry.name == name_or_id;
  });
  return it == entries.end() ? nullptr : &*it;
}

Status Unknown(std::string_view kind, std::string_view name) {
  return CorruptImage(
      StrCat("the image runs as ", kind, " '", Printable(name, 80), "', which it does not have"));
}

}  // namespace

StatusOr<ImageUser> ResolveUser(const std::filesystem::path& rootfs, std::string_view user) {
  ImageUser resolved;
  if (user.empty()) return resolved;
  const size_t colon = user.find(':');
  const std::string_view name = user.substr(0, colon);
  const std::string_view group =
      colon == std::string_view::npos ? std::string_view() : user.substr(colon + 1);
  ASSIGN_OR_RETURN(const std::string passwd_text, ReadInRoot(rootfs, "/etc/passwd"));
  ASSIGN_OR_RETURN(const std::string group_text, ReadInRoot(rootfs, "/etc/group"));
  const std::vector<Entry> users = ParseDatabase(passwd_text);
  const std::vector<Entry> groups = ParseDatabase(group_text);

  const Entry* entry = Find(users, name);
  const auto uid = ParseId(name);
  if (entry == nullptr && !uid) return Unknown("user", name);
  resolved.uid = entry != nullptr ? entry->id : *uid;
  if (entry != nullptr) resolved.gid = ParseId(entry->extra).value_or(0);
  if (!group.empty()) {
    const Entry* found = Find(groups, group);
    const auto gid = ParseId(group);
    if (found == nullptr && !gid) return Unknown("group", group);
    resolved.gid = found != nullptr ? found->id : *gid;
    return resolved;
  }
  if (entry == nullptr) return resolved;
  for (const Entry& candidate : groups) {
    const std::vector<std::string_view> members = Split(candidate.extra, ',');
    if (std::find(members.begin(), members.end(), entry->name) != members.end()) {
      resolved.additional_gids.push_back(candidate.id);
    }
  }
  std::sort(resolved.additional_gids.begin(), resolved.additional_gids.end());
  resolved.additional_gids.erase(
      std::unique(resolved.additional_gids.begin(), resolved.additional_gids.end()),
      resolved.additional_gids.end());
  return resolved;
}

}  // namespace claw::image
