#pragma once

#include <string_view>

namespace claw {

// Where things are on a system, unless the config says otherwise.
struct SystemDefaults {
  std::string_view config_file;
  std::string_view state_dir;  // survives a reboot
  std::string_view run_dir;    // need not; short, for the sockets below it
  std::string_view socket;     // in run_dir
  std::string_view guest_image;
  std::string_view log_file;  // empty: what starts the agent keeps what it says
  bool vms;                   // they are turned on
};

inline constexpr SystemDefaults kLinuxDefaults = {.config_file = "/etc/clawlet/clawlet.toml",
                                                  .state_dir = "/var/lib/clawlet",
                                                  .run_dir = "/run/clawlet",
                                                  .socket = "/run/clawlet/clawlet.sock",
                                                  .guest_image = "/usr/share/clawlet/guest-image",
                                                  .log_file = "",
                                                  .vms = false};

// macOS lets nobody write to /usr but below /usr/local, has no /run, and keeps what daemons
// remember in /var/db. VMs are all that a Mac runs sandboxes in.
inline constexpr SystemDefaults kDarwinDefaults = {
    .config_file = "/etc/clawlet/clawlet.toml",
    .state_dir = "/var/db/clawlet",
    .run_dir = "/var/run/clawlet",
    .socket = "/var/run/clawlet/clawlet.sock",
    .guest_image = "/usr/local/share/clawlet/guest-image",
    .log_file = "/var/log/clawlet.log",
    .vms = true};

#ifdef __APPLE__
inline constexpr const SystemDefaults& kSystemDefaults = kDarwinDefaults;
#else
inline constexpr const SystemDefaults& kSystemDefaults = kLinuxDefaults;
#endif

}  // namespace claw
