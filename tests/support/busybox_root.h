#pragma once

#include <filesystem>

namespace claw::test {

// Makes a small root file system of Debian's static busybox, with the usual applets and folders.
void MakeBusyboxRoot(const std::filesystem::path& root);

}  // namespace claw::test
