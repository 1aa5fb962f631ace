#include "agent/host/linux/cgroup_hierarchies.h"

#include <algorithm>

#include "agent/base/file.h"
#include "agent/base/strings.h"

namespace claw::host {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kNeeded[] = {"memory", "cpu", "cpuacct", "pids"};

Status Missing(std::string_view what) {
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("the cgroup controller '", what, "' is not mounted"),
                   {.reason = "CGROUP_MISSING", .constraint = std::string(what)});
}

// v2 has what this needs only if its root hands out the controllers.
Status CheckV2(const fs::path& root) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(root / "cgroup.controllers", 4096));
  const std::vector<std::string_view> have = Split(Trim(text), ' ', true);
  for (const std::string_view controller : {"memory", "cpu", "pids"}) {
    if (std::find(have.begin(), have.end(), controller) == have.end()) return Missing(controller);
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<Hierarchies> ParseHierarchies(std::string_view mountinfo) {
  Hierarchies found;
  fs::path unified;
  for (std::string_view line : Split(mountinfo, '\n', true)) {
    // ID PARENT DEV ROOT MOUNTPOINT OPTIONS [TAGS…] - TYPE SOURCE SUPEROPTIONS
    const size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const std::vector<std::string_view> left = Split(line.substr(0, dash), ' ', true);
    const std::vector<std::string_view> right = Split(line.substr(dash + 3), ' ', true);
    if (left.size() < 5 || right.size() < 3) continue;
    // Where only a part of the hierarchy is mounted, paths below it are not those of
    // /proc/PID/cgroup.
    if (right[0] == "cgroup2" && left[3] == "/" && unified.empty()) unified = left[4];
    if (right[0] != "cgroup") continue;
    const fs::path root = left[4];
    if (std::find(found.roots.begin(), found.roots.end(), root) == found.roots.end()) {
      found.roots.push_back(root);
    }
    for (std::string_view option : Split(right[2], ',', true)) {
      found.by_controller.try_emplace(std::string(option), root);
    }
  }
  if (found.by_controller.count("memory") == 0) {
    if (unified.empty()) return Missing("memory");
    RETURN_IF_ERROR(CheckV2(unified));
    return Hierarchies{.mode = "v2", .by_controller = {}, .roots = {unified}};
  }
  for (const std::string_view controller : kNeeded) {
    if (found.by_controller.count(std::string(controller)) == 0) return Missing(controller);
  }
  found.mode = unified.empty() ? "v1" : "hybrid";
  if (!unified.empty()) found.roots.push_back(unified);
  return found;
}

bool IsBelow(std::string_view cgroup, std::string_view path) {
  if (!cgroup.starts_with('/')) return false;
  cgroup.remove_prefix(1);
  if (!cgroup.starts_with(path)) return false;
  return cgroup.size() == path.size() || cgroup[path.size()] == '/';
}

}  // namespace claw::host
