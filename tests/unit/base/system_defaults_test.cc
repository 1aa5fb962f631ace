#include "agent/base/system_defaults.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

namespace claw {
namespace {

TEST_CASE("each system's paths are absolute, and a socket lies in its run folder") {
  for (const SystemDefaults* defaults : {&kLinuxDefaults, &kDarwinDefaults}) {
    CAPTURE(defaults->state_dir);
    for (const std::string_view path :
         {defaults->config_file, defaults->state_dir, defaults->run_dir, defaults->socket,
          defaults->guest_image}) {
      CAPTURE(path);
      CHECK(std::filesystem::path(path).is_absolute());
      CHECK(path.find_first_of(" ,?&#%") == std::string_view::npos);  // libvirt's and QEMU's
    }
    CHECK(std::filesystem::path(defaults->socket).parent_path() == defaults->run_dir);
  }
}

TEST_CASE("libvirt's sockets fit below the run folder of a Mac") {
  // sun_path holds 103 bytes there, and the longest path below run_dir/vm takes 60 (vm/libvirt).
  CHECK(kDarwinDefaults.run_dir.size() + std::string_view("/vm").size() + 60 <= 103);
}

TEST_CASE("VMs are on where there is nothing else") {
  CHECK_FALSE(kLinuxDefaults.vms);
  CHECK(kDarwinDefaults.vms);
  CHECK(kLinuxDefaults.log_file.empty());
  CHECK(std::filesystem::path(kDarwinDefaults.log_file).is_absolute());
  CHECK(&kSystemDefaults == &kLinuxDefaults);
}

}  // namespace
}  // namespace claw
