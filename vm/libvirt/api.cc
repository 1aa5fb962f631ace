#include "vm/libvirt/api.h"

#include <dlfcn.h>

#include "agent/base/strings.h"

namespace claw::vm {
namespace {

#ifdef __APPLE__
// Homebrew's folders are not among those that the loader looks through.
constexpr const char* kNames[] = {"/opt/homebrew/lib/libvirt.0.dylib",
                                  "/usr/local/lib/libvirt.0.dylib", "libvirt.0.dylib"};
constexpr std::string_view kInstall = "brew install libvirt qemu";
#else
constexpr const char* kNames[] = {"libvirt.so.0"};
constexpr std::string_view kInstall =
    "apt-get install libvirt-daemon-system libvirt-daemon-driver-qemu qemu-system-arm";
#endif

Status Missing(std::string_view what) {
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("VMs need libvirt, and ", what, "; install it: ", kInstall),
                   {.reason = "LIBVIRT_MISSING", .constraint = "libvirt"});
}

}  // namespace

StatusOr<std::shared_ptr<const LibvirtApi>> LibvirtApi::Load() {
  void* library = nullptr;
  for (const char* name : kNames) {
    library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
  }
  if (library == nullptr) {
    const char* why = ::dlerror();
    return Missing(why == nullptr ? "it is not there" : why);
  }
  auto api = std::make_shared<LibvirtApi>();
#define CLAW_FIND(name)                                                     \
  api->name = reinterpret_cast<decltype(&::name)>(::dlsym(library, #name)); \
  if (api->name == nullptr) return Missing("the one here has no function " #name);
  CLAW_LIBVIRT_FUNCTIONS(CLAW_FIND)
#undef CLAW_FIND
  return std::shared_ptr<const LibvirtApi>(std::move(api));
}

}  // namespace claw::vm
