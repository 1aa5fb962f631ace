#include "vm/machine_files.h"

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "vm/domain.h"
#include "vm/identity.h"
#include "vm/seed.h"

namespace claw::vm {
namespace {

// Longer than any guest runs between two boots, and short enough to be forgotten about.
constexpr std::chrono::hours kLifetime = std::chrono::hours(24 * 365);
// A guest has no other services, and no users: with nothing to do it uses 110 MiB, its agent and
// its kernel's caches included (measured).
constexpr std::string_view kReserves = "system = \"64Mi\"\nagent = \"64Mi\"\neviction = \"64Mi\"\n";
constexpr std::string_view kAuthority = "authority.pem";
constexpr std::string_view kCertificate = "host.pem";
constexpr std::string_view kKey = "host.key";

}  // namespace

std::string GuestConfig(const std::string& vm, const std::string& more) {
  constexpr std::string_view kSeed = "/run/clawlet-seed";
  return StrCat("[node]\nid = \"", vm,
                "\"\nrole = \"guest\"\n\n[server]\nlisten = \"0.0.0.0:", kGuestPort,
                "\"\ncertificate = \"", kSeed, "/guest.pem\"\nkey = \"", kSeed,
                "/guest.key\"\nclient_ca = \"", kSeed, "/authority.pem\"\n\n[reserves]\n",
                kReserves, more.empty() ? "" : "\n", more);
}

StatusOr<Time> MachineFiles::Prepare(const Vm& vm, const std::string& config, Time now) const {
  const std::string& name = vm.spec.name;
  RETURN_IF_ERROR(EnsureDirectory(folder_, 0700));
  RETURN_IF_ERROR(MakeStateDisk(state(), vm.spec.disk_bytes));
  ASSIGN_OR_RETURN(const GuestIdentity identity, MakeGuestIdentity(name, now, kLifetime));
  RETURN_IF_ERROR(WriteSeed(seed(), {{.name = "config.toml", .content = GuestConfig(name, config)},
                                     {.name = "hostname", .content = StrCat(name, "\n")},
                                     {.name = "guest.pem", .content = identity.guest_certificate},
                                     {.name = "guest.key", .content = identity.guest_key},
                                     {.name = "authority.pem", .content = identity.authority}}));
  RETURN_IF_ERROR(WriteFileAtomic(folder_ / kAuthority, identity.authority));
  RETURN_IF_ERROR(WriteFileAtomic(folder_ / kCertificate, identity.host_certificate));
  RETURN_IF_ERROR(WriteFileAtomic(folder_ / kKey, identity.host_key));
  // Of this boot alone: nothing else keeps it from growing for ever.
  RETURN_IF_ERROR(WriteFileAtomic(console(), ""));
  return identity.expires_at;
}

StatusOr<GuestCredentials> MachineFiles::ReadCredentials() const {
  GuestCredentials credentials;
  ASSIGN_OR_RETURN(credentials.authority, ReadFile(folder_ / kAuthority));
  ASSIGN_OR_RETURN(credentials.certificate, ReadFile(folder_ / kCertificate));
  ASSIGN_OR_RETURN(credentials.key, ReadFile(folder_ / kKey));
  return credentials;
}

Status MachineFiles::Remove() const { return RemoveTree(folder_); }

}  // namespace claw::vm
