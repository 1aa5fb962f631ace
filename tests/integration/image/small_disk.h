#pragma once

#include <sys/mount.h>

#include <filesystem>
#include <random>
#include <string>

#include "tests/support/temp_dir.h"

namespace claw::image {

// A small file system of its own.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& size) {
    mounted_ = ::mount("tmpfs", dir_.path().c_str(), "tmpfs", MS_NOSUID | MS_NODEV,
                       ("size=" + size).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(dir_.path().c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] std::filesystem::path path() const { return dir_.path() / "images"; }

 private:
  test::TempDir dir_;
  bool mounted_ = false;
};

inline std::string Noise(size_t bytes) {
  std::mt19937 random(42);  // does not compress
  std::string noise(bytes, '\0');
  for (char& c : noise) c = static_cast<char>(random());
  return noise;
}

}  // namespace claw::image
