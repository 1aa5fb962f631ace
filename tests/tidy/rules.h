#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace claw::tidy {

// A source file; the path is relative to the top of the tree, with '/'.
struct File {
  std::string path{};
  std::string text{};
};

// What breaks a house rule: "PATH:LINE: what is wrong".
using Findings = std::vector<std::string>;

// Who may include whom, and which system headers stay in which folders.
Findings CheckIncludes(const File& file);

// Length, white space, #pragma once, notes to oneself, code in comments, a clock in pure folders.
Findings CheckText(const File& file);

// Only the agreed names stand at the top; dot-files are free.
Findings CheckTopLevel(const std::vector<std::string>& names);

// Each folder with sources tells what it is for.
Findings CheckReadmes(const std::vector<std::string>& paths);

}  // namespace claw::tidy
