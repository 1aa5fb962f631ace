#include "tests/tidy/tree.h"

#include <algorithm>
#include <set>

#include "agent/base/file.h"
#include "agent/base/strings.h"

namespace claw::tidy {
namespace fs = std::filesystem;
namespace {

bool IsText(const fs::path& path) {
  static const std::set<std::string> kExtensions = {".cc",    ".h",  ".cmake", ".txt",
                                                    ".proto", ".md", ".json",  ".sh"};
  return kExtensions.count(path.extension().string()) != 0;
}

Status ReadInto(const fs::path& root, const fs::path& path, std::vector<File>& files) {
  if (!IsText(path)) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  files.push_back({path.lexically_relative(root).generic_string(), std::move(text)});
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::vector<std::string>> TopLevel(const fs::path& root) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(root));
  std::set<std::string> ignored = {".git"};
  const std::string text = ReadFile(root / ".gitignore").value_or("");
  for (std::string_view line : Split(text, '\n', true)) {
    if (!line.starts_with("/")) continue;
    line.remove_prefix(1);
    if (line.ends_with("/")) line.remove_suffix(1);
    ignored.emplace(line);
  }
  std::erase_if(names, [&](const std::string& name) { return ignored.count(name) != 0; });
  return names;
}

StatusOr<std::vector<File>> ReadTree(const fs::path& root) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, TopLevel(root));
  std::vector<File> files;
  for (const std::string& name : names) {
    if (name.starts_with(".")) continue;
    if (!fs::is_directory(root / name)) {
      RETURN_IF_ERROR(ReadInto(root, root / name, files));
      continue;
    }
    for (const auto& entry : fs::recursive_directory_iterator(root / name)) {
      if (entry.is_regular_file()) RETURN_IF_ERROR(ReadInto(root, entry.path(), files));
    }
  }
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.path < b.path; });
  return files;
}

}  // namespace claw::tidy
