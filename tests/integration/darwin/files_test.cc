#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <set>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "agent/base/system_defaults.h"

namespace claw {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(CLAW_SOURCE_DIR) / "tools/darwin";

std::string XPath(const std::string& path) {
  const auto text =
      RunOrError({.argv = {"xmllint", "--nonet", "--xpath", StrCat("string(", path, ")"),
                           (kFolder / "clawlet.plist").string()}});
  CAPTURE(path);
  REQUIRE(text.ok());
  return std::string(Trim(*text));
}

// What stands behind a key at the top.
std::string ValueOf(const std::string& key) {
  return StrCat("/plist/dict/key[.='", key, "']/following-sibling::*[1]");
}
std::string KindOf(const std::string& key) { return XPath(StrCat("name(", ValueOf(key), ")")); }

TEST_CASE("launchd's file is well-formed, of keys that launchd.plist(5) has, with their types") {
  const std::string file = (kFolder / "clawlet.plist").string();
  const auto checked = RunOrError({.argv = {"xmllint", "--nonet", "--noout", file}});
  REQUIRE(checked.ok());
  const std::map<std::string, std::set<std::string>> known = {{"Label", {"string"}},
                                                              {"ProgramArguments", {"array"}},
                                                              {"EnvironmentVariables", {"dict"}},
                                                              {"RunAtLoad", {"true"}},
                                                              {"KeepAlive", {"true"}},
                                                              {"AbandonProcessGroup", {"true"}},
                                                              {"ThrottleInterval", {"integer"}},
                                                              {"ExitTimeOut", {"integer"}},
                                                              {"StandardErrorPath", {"string"}},
                                                              {"SoftResourceLimits", {"dict"}},
                                                              {"HardResourceLimits", {"dict"}}};
  CHECK(XPath("name(/*)") == "plist");
  CHECK(XPath("/plist/@version") == "1.0");
  CHECK(XPath("count(/plist/dict/key)") == StrCat(known.size()));
  // A key and a value in turn, and nothing else.
  CHECK(XPath("count(/plist/dict/*)") == StrCat(2 * known.size()));
  CHECK(XPath("count(/plist/dict/*[position() mod 2 = 1][name() != 'key'])") == "0");
  for (const auto& [key, kinds] : known) {
    CAPTURE(key);
    CHECK(XPath(StrCat("count(/plist/dict/key[.='", key, "'])")) == "1");
    CHECK(kinds.count(KindOf(key)) == 1);
  }
}

TEST_CASE("launchd starts the agent where it is installed, and keeps what it says") {
  CHECK(XPath(StrCat(ValueOf("ProgramArguments"), "/string[1]")) == "/usr/local/bin/clawlet");
  CHECK(XPath(ValueOf("StandardErrorPath")) == kDarwinDefaults.log_file);
  CHECK(XPath(StrCat(ValueOf("SoftResourceLimits"), "/key[1]")) == "NumberOfFiles");
  // qemu is found by its name.
  const std::string path = XPath(StrCat(ValueOf("EnvironmentVariables"), "/string[1]"));
  CHECK(path.starts_with("/opt/homebrew/bin:"));
}

TEST_CASE("the Brewfile names what the build looks for and what VMs need, each once") {
  const auto text = ReadFile(kFolder / "Brewfile", 65536);
  REQUIRE(text.ok());
  std::vector<std::string> names;
  for (const std::string_view line : Split(*text, '\n', true)) {
    if (line.starts_with("#")) continue;
    CAPTURE(line);
    REQUIRE((line.starts_with("brew \"") && line.ends_with("\"")));
    names.emplace_back(line.substr(6, line.size() - 7));
  }
  CHECK(std::is_sorted(names.begin(), names.end()));
  const std::set<std::string> all(names.begin(), names.end());
  CHECK(all.size() == names.size());
  for (const char* name : {"abseil", "boost", "cli11", "cmake", "grpc", "libarchive", "libvirt",
                           "ninja", "nlohmann-json", "openssl@3", "pkgconf", "prometheus-cpp",
                           "protobuf", "qemu", "spdlog", "sqlite", "sqlitecpp", "tomlplusplus"}) {
    CAPTURE(name);
    CHECK(all.count(name) == 1);
  }
}

}  // namespace
}  // namespace claw
