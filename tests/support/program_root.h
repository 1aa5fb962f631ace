#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace claw::test {

// Adds programs of this machine to a root file system, with the libraries that they are linked
// against, and folders that they read. Throws if one is not there.
void AddPrograms(const std::filesystem::path& root, const std::vector<std::string>& programs,
                 const std::vector<std::string>& folders = {});

// Compiles a C program, statically, to root/NAME. Throws what the compiler said.
void AddCProgram(const std::filesystem::path& root, const std::string& name,
                 const std::string& source);

}  // namespace claw::test
