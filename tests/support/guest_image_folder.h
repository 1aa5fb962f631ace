#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/digest.h"
#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "tests/support/temp_dir.h"

namespace claw::test {

// A guest image of small files, as tools/guest-image would describe it.
class GuestImageFolder {
 public:
  GuestImageFolder() {
    for (const auto& [kind, file] : kFiles) Write(file, StrCat("the ", kind));
    Describe();
  }
  void Write(const std::string& file, const std::string& content) {
    std::ofstream(dir_.path() / file) << content;
  }
  void Describe(const std::string& command_line = "console=ttyAMA0") {
    std::vector<std::string> lines = {StrCat("command_line ", command_line)};
    std::vector<std::string> parts;
    for (const auto& [kind, file] : kFiles) {
      const std::string content = ReadFile(dir_.path() / file).value();
      const std::string sha(DigestHex(DigestOf(content)));
      lines.push_back(StrCat(kind, " ", sha));
      parts.push_back(StrCat("\"", kind, "\": {\"file\": \"", file,
                             "\", \"bytes\": ", content.size(), ", \"sha256\": \"", sha, "\"}"));
    }
    std::sort(lines.begin(), lines.end());
    manifest = StrCat(
        "{\"format\": 1, \"architecture\": \"arm64\", \"page_size_bytes\": 4096, "
        "\"clawlet_version\": \"9.9\", \"kernel_version\": \"6.1\", \"command_line\": \"",
        command_line, "\", \"files\": {", Join(parts, ", "),
        "}, \"packages\": [{\"name\": \"runsc\", \"version\": \"1\", \"sha256\": \"ab\"}], "
        "\"digest\": \"",
        DigestOf(StrCat(Join(lines, "\n"), "\n")), "\"}");
    Save();
  }
  void Save() { Write("manifest.json", manifest); }
  void Replace(const std::string& from, const std::string& to) {
    const size_t at = manifest.find(from);
    REQUIRE(at != std::string::npos);
    manifest.replace(at, from.size(), to);
    Save();
  }
  const std::filesystem::path& path() const { return dir_.path(); }

  std::string manifest;

 private:
  static constexpr std::pair<const char*, const char*> kFiles[] = {
      {"kernel", "vmlinuz"}, {"initramfs", "initramfs.img"}, {"root", "root.img"}};
  TempDir dir_;
};

}  // namespace claw::test
