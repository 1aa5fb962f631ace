#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"
#include "agent/model/sandbox.h"
#include "drivers/oci/layout.h"

namespace claw::drivers {

// A sandbox's root file system: an overlay of its own writable layer over the shared image. It is
// mounted in a mount namespace that belongs to the sandbox's supervisor and runtime alone, so it is
// gone from the machine when they are, whatever happened to the agent, and the host's mount table
// does not grow.
class RootMount {
 public:
  // Lays out everything that allocates. `id_base` > 0: the image and the bind mounts are mapped
  // into the user namespace [id_base, id_base + 65536) on the way (idmapped mounts, Linux 5.19 or
  // later); `node_files`, which anybody may read, are bound as they are. `starter_layer` may be
  // empty; otherwise it is put over the image.
  static StatusOr<RootMount> Prepare(const Layout& layout, const MountPoints& points,
                                     const std::filesystem::path& image_rootfs,
                                     const std::filesystem::path& starter_layer,
                                     const std::vector<Mount>& mounts,
                                     const std::vector<Mount>& node_files, uint32_t id_base);

  // For ProcessSpec::before_exec: a new mount namespace, then the mounts. Async-signal-safe; 0 or
  // an errno.
  int EnterAndMount() const;

 private:
  int MountLower() const;
  int StageMounts() const;

  // A bind mount on its way into the sandbox.
  struct Bind {
    std::string source;
    std::string staged_at;
    bool is_folder = false;
    bool read_only = true;
    bool is_mapped = true;
  };

  std::string image_;
  std::string points_;
  std::string lower_;
  std::string rootfs_;
  std::string overlay_options_;
  UniqueFd user_namespace_;
  std::vector<Bind> binds_;
};

// A user namespace that maps 0…65535 to id_base…, as a descriptor. Costs a short-lived child.
StatusOr<UniqueFd> MakeUserNamespace(uint32_t id_base);

}  // namespace claw::drivers
