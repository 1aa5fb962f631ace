#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"

namespace claw::host {

// Where the cgroup file systems are mounted.
struct Hierarchies {
  std::string mode{};                                            // "v1", "v2", "hybrid"
  std::map<std::string, std::filesystem::path> by_controller{};  // v1 only: "memory" -> mount point
  std::vector<std::filesystem::path> roots{};                    // every mount point, v2's last
};

// From the text of /proc/self/mountinfo. FAILED_PRECONDITION, reason CGROUP_MISSING, if neither
// version has the controllers for memory, CPU and pids.
StatusOr<Hierarchies> ParseHierarchies(std::string_view mountinfo);

// Whether a cgroup of /proc/PID/cgroup ("/a/b/c") is `path` ("a/b") or below it.
bool IsBelow(std::string_view cgroup, std::string_view path);

}  // namespace claw::host
