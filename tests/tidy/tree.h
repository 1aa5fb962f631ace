#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "tests/tidy/rules.h"

namespace claw::tidy {

// The names at the top of the tree that version control would take, sorted: without .git and what
// .gitignore names as "/NAME" or "/NAME/".
StatusOr<std::vector<std::string>> TopLevel(const std::filesystem::path& root);

// Every text file below those names: sources, build files, protocols, READMEs.
StatusOr<std::vector<File>> ReadTree(const std::filesystem::path& root);

}  // namespace claw::tidy
