#pragma once

#include <filesystem>
#include <string>

#include "agent/model/sandbox.h"

namespace claw::drivers {

// Whether a name is that of a sandbox: what else lies in our folders is not touched.
inline bool IsId(const std::string& text) {
  return text.size() == kSandboxIdLength &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Where one sandbox keeps its files. The folder is the OCI bundle at the same time.
struct Layout {
  explicit Layout(std::filesystem::path folder) : dir(std::move(folder)) {}

  std::filesystem::path dir;

  std::filesystem::path config() const { return dir / "config.json"; }
  std::filesystem::path record() const { return dir / "record.json"; }
  std::filesystem::path handle() const { return dir / "handle.json"; }
  std::filesystem::path upper() const { return dir / "upper"; }
  std::filesystem::path work() const { return dir / "work"; }
  std::filesystem::path log() const { return dir / "log"; }
  std::filesystem::path exit_dir() const { return dir / "exit"; }
  std::filesystem::path persist() const { return dir / "persist"; }
  std::filesystem::path pid() const { return dir / "pid"; }
  std::filesystem::path conmon_pid() const { return dir / "conmon.pid"; }
  std::filesystem::path attach() const { return dir / "attach"; }
  std::filesystem::path trace() const { return dir / "trace"; }
  std::filesystem::path control() const { return dir / "ctl"; }
};

// Where a sandbox's file systems are mounted, in a mount namespace of its own: the same folder for
// all of them. Every folder on the way has to let others through (mode 0711), since runtimes walk
// it as the sandbox's mapped root.
struct MountPoints {
  explicit MountPoints(std::filesystem::path folder) : dir(std::move(folder)) {}

  std::filesystem::path dir;

  std::filesystem::path rootfs() const { return dir / "rootfs"; }
  std::filesystem::path lower() const { return dir / "lower"; }
  std::filesystem::path bind(size_t index) const { return dir / ("bind" + std::to_string(index)); }
};

}  // namespace claw::drivers
