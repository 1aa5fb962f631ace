#include "vm/libvirt/embedded.h"

#include "agent/base/file.h"
#include "agent/base/strings.h"

namespace claw::vm {
namespace {

// No security driver and no change of owners: the files are the agent's own, and the root disk is
// shared by all guests. The agent's cgroups are not libvirt's to arrange.
constexpr std::string_view kSettings = R"(stdio_handler = "file"
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
namespaces = []
)";

// The longest socket below it is that of a domain's monitor: lib/qemu/domain-NUMBER-NAME(20)/
// monitor.sock.
constexpr size_t kBelow = 60;
#ifdef __APPLE__
constexpr size_t kMaxSocketPath = 103;
#else
constexpr size_t kMaxSocketPath = 107;
#endif

}  // namespace

StatusOr<std::string> PrepareEmbedded(const std::filesystem::path& root) {
  const std::string path = root.string();
  if (!root.is_absolute() || path.size() + kBelow > kMaxSocketPath) {
    return InvalidArgument("libvirt's sockets do not fit below ", path,
                           ": use a shorter node.run_dir, or a libvirt of your own (vm.uri)");
  }
  if (path.find_first_of("?&#% ") != std::string::npos) {
    return InvalidArgument("libvirt cannot have its files below ", path);
  }
  RETURN_IF_ERROR(EnsureDirectory(root, 0700));
  RETURN_IF_ERROR(EnsureDirectory(root / "etc", 0700));
  RETURN_IF_ERROR(WriteFileAtomic(root / "etc/qemu.conf", kSettings, 0600));
  return StrCat("qemu:///embed?root=", path);
}

}  // namespace claw::vm
