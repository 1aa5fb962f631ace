#include "drivers/oci/root_mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "agent/base/file.h"
#include "agent/base/linux/clone.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "drivers/oci/bundle.h"

// <sys/mount.h> and <linux/mount.h> of Debian 12 cannot both say these, so the calls go by number.
namespace claw::drivers {
namespace fs = std::filesystem;
namespace {

int OpenTree(const char* path, bool recursive) {
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0u);
  return static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, path, flags));
}

int SetIdMap(int tree, int user_namespace, uint64_t attributes) {
  mount_attr attr{};
  attr.attr_set = attributes;
  if (user_namespace >= 0) {
    attr.attr_set |= MOUNT_ATTR_IDMAP;
    attr.userns_fd = static_cast<uint64_t>(user_namespace);
  }
  return static_cast<int>(
      ::syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)));
}

int MoveMount(int tree, const char* to) {
  return static_cast<int>(
      ::syscall(SYS_move_mount, tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH));
}

// Clones the mount at `from`, maps its ids, and puts it at `to`.
int BindMapped(const char* from, const char* to, int user_namespace, uint64_t attributes) {
  const int tree = OpenTree(from, false);
  if (tree < 0) return errno;
  int error = 0;
  if (SetIdMap(tree, user_namespace, attributes) != 0 || MoveMount(tree, to) != 0) error = errno;
  ::close(tree);
  return error;
}

// A path in the options of overlayfs may hold neither of its separators.
Status CheckOverlayPath(const fs::path& path) {
  if (path.string().find_first_of(":,\\") == std::string::npos) return absl::OkStatus();
  return InvalidArgument("the path ", path.string(),
                         " holds one of : , \\, which overlayfs cannot take");
}

// Whether a mount's source is a folder. Only files and folders may be bound.
StatusOr<bool> IsFolder(const std::string& source) {
  struct stat info {};
  if (::stat(source.c_str(), &info) != 0) {
    return MakeError(StatusCode::kInvalidArgument, StrCat("there is no mount source ", source),
                     {.reason = "BAD_MOUNT", .constraint = "mounts.source"});
  }
  if (S_ISDIR(info.st_mode)) return true;
  if (S_ISREG(info.st_mode)) return false;
  return MakeError(StatusCode::kInvalidArgument,
                   StrCat("mount source ", source, " is neither a file nor a folder"),
                   {.reason = "BAD_MOUNT", .constraint = "mounts.source"});
}

// A child that keeps its new user namespace in being until it is killed, or until the agent is gone
// and the pipe with it. It runs beside the agent in the same memory: calls by number, which leave
// errno alone unless they fail.
int HoldNamespace(void* argument) {
  const auto pipe = static_cast<unsigned>(*static_cast<const int*>(argument));
  char nothing = 0;
  // All that it has inherited, the pipe's other end and those of other holders too.
  if (pipe > 0) ::syscall(SYS_close_range, 0U, pipe - 1, 0U);
  ::syscall(SYS_close_range, pipe + 1, ~0U, 0U);
  ::syscall(SYS_read, pipe, &nothing, 1);
  return 0;
}

}  // namespace

StatusOr<UniqueFd> MakeUserNamespace(uint32_t id_base) {
  ASSIGN_OR_RETURN(const auto alive, MakePipe());
  ASSIGN_OR_RETURN(const ChildStack stack, ChildStack::Make());
  int pipe = alive.first.get();
  ASSIGN_OR_RETURN(const pid_t pid, CloneChild(CLONE_NEWUSER, HoldNamespace, &pipe, stack));
  const std::string map = StrCat("0 ", id_base, " ", kIdRange);
  Status status = WriteExisting(StrCat("/proc/", pid, "/uid_map"), map);
  if (status.ok()) status = WriteExisting(StrCat("/proc/", pid, "/gid_map"), map);
  UniqueFd fd(status.ok() ? ::open(StrCat("/proc/", pid, "/ns/user").c_str(), O_RDONLY | O_CLOEXEC)
                          : -1);
  if (status.ok() && !fd.valid()) status = ErrnoError(errno, "open user namespace");
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  RETURN_IF_ERROR(status);
  return fd;
}

StatusOr<RootMount> RootMount::Prepare(const Layout& layout, const MountPoints& points,
                                       const fs::path& image_rootfs, const fs::path& starter_layer,
                                       const std::vector<Mount>& mounts,
                                       const std::vector<Mount>& node_files, uint32_t id_base) {
  RootMount root;
  root.image_ = image_rootfs;
  root.points_ = points.dir;
  root.lower_ = points.lower();
  root.rootfs_ = points.rootfs();
  RETURN_IF_ERROR(CheckOverlayPath(layout.dir));
  RETURN_IF_ERROR(CheckOverlayPath(image_rootfs));
  RETURN_IF_ERROR(EnsureDirectory(layout.upper(), 0755));
  RETURN_IF_ERROR(EnsureDirectory(layout.work(), 0755));
  for (size_t i = 0; i < mounts.size(); ++i) {
    ASSIGN_OR_RETURN(const bool is_folder, IsFolder(mounts[i].source));
    root.binds_.push_back({.source = mounts[i].source,
                           .staged_at = points.bind(i),
                           .is_folder = is_folder,
                           .read_only = mounts[i].read_only});
  }
  for (size_t i = 0; i < node_files.size(); ++i) {
    root.binds_.push_back({.source = node_files[i].source,
                           .staged_at = points.bind(mounts.size() + i),
                           .is_mapped = false});
  }
  if (id_base > 0) {
    ASSIGN_OR_RETURN(root.user_namespace_, MakeUserNamespace(id_base));
    // The top folder of the writable layer is the root folder of the sandbox.
    if (::chown(layout.upper().c_str(), id_base, id_base) != 0) {
      return ErrnoError(errno, "chown the writable layer");
    }
  }
  const std::string image = id_base > 0 ? root.lower_ : root.image_;
  root.overlay_options_ =
      StrCat("lowerdir=", starter_layer.empty() ? "" : StrCat(starter_layer.string(), ":"), image,
             ",upperdir=", layout.upper().string(), ",workdir=", layout.work().string(),
             ",index=off,metacopy=off,redirect_dir=off");
  return root;
}

int RootMount::StageMounts() const {
  for (const Bind& bind : binds_) {
    if (bind.is_folder) {
      if (::mkdir(bind.staged_at.c_str(), 0755) != 0) return errno;
    } else {
      const int file = ::open(bind.staged_at.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
      if (file < 0) return errno;
      ::close(file);
    }
    const uint64_t read_only = bind.read_only ? MOUNT_ATTR_RDONLY : 0;
    const int mapping = bind.is_mapped ? user_namespace_.get() : -1;
    const int error = BindMapped(bind.source.c_str(), bind.staged_at.c_str(), mapping,
                                 read_only | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    if (error != 0) return error;
  }
  return 0;
}

int RootMount::MountLower() const {
  if (!user_namespace_.valid()) return 0;
  if (::mkdir(lower_.c_str(), 0755) != 0) return errno;
  return BindMapped(image_.c_str(), lower_.c_str(), user_namespace_.get(),
                    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

int RootMount::EnterAndMount() const {
  if (::unshare(CLONE_NEWNS) != 0) return errno;
  // "slave": unmounting a disk on the host still works while a sandbox runs.
  if (::mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return errno;
  if (::mount("none", points_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0711,size=1m") != 0 ||
      ::mkdir(rootfs_.c_str(), 0755) != 0) {
    return errno;
  }
  if (const int error = MountLower()) return error;
  if (const int error = StageMounts()) return error;
  if (::mount("overlay", rootfs_.c_str(), "overlay", MS_NOSUID | MS_NODEV,
              overlay_options_.c_str()) != 0) {
    return errno;
  }
  // The overlay keeps a clone of its own, so the mount below it can go again at once.
  if (user_namespace_.valid()) ::umount2(lower_.c_str(), MNT_DETACH);
  return 0;
}

}  // namespace claw::drivers
