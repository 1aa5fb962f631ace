#include "tests/tidy/rules.h"

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "agent/base/strings.h"

namespace claw::tidy {
namespace {

using Names = std::set<std::string, std::less<>>;

constexpr size_t kMaxLines = 450;

// Folder (or file) -> layer; the longest match counts.
const std::map<std::string, std::string, std::less<>>& Layers() {
  static const std::map<std::string, std::string, std::less<>> kLayers = {
      {"agent/base/", "base"},
      {"agent/model/", "model"},
      {"agent/policy/", "policy"},
      {"agent/budget/", "budget"},
      {"agent/placement/", "placement"},
      {"agent/host/", "host"},
      {"agent/lifecycle/", "lifecycle"},
      {"agent/fleet/", "fleet"},
      {"agent/metrics/", "metrics"},
      {"agent/rpc/", "rpc"},
      {"agent/app/", "main"},
      {"agent/main.cc", "main"},
      {"agent/config", "main"},
      {"drivers/", "drivers"},
      {"drivers/fake/", "fake"},
      {"drivers/guest/", "guest"},
      {"drivers/guest/guest.h", "drivers"},
      {"drivers/guest/vm_driver.h", "drivers"},
      {"drivers/gvisor/starter.cc", "starter"},
      {"vm/", "vm"},
      {"store/", "store"},
      {"claw/node/v1/", "proto"},  // what protoc makes of proto/claw/node/v1
      {"tools/", "tools"},
      {"tools/clawctl/", "clawctl"},
      {"tests/", "tests"},
  };
  return kLayers;
}

// Layer -> the layers it sees beside itself.
const std::map<std::string, Names, std::less<>>& Sees() {
  static const Names kAll = {"base",      "model", "policy",  "budget", "placement",
                             "host",      "store", "drivers", "guest",  "vm",
                             "lifecycle", "fleet", "rpc",     "proto",  "main",
                             "fake",      "tools", "clawctl", "tests",  "metrics"};
  static const Names kBelowLifecycle = {"base", "model", "policy",  "budget", "placement",
                                        "host", "store", "drivers", "vm"};
  static const auto kSees = [] {
    std::map<std::string, Names, std::less<>> sees = {
        {"base", {}},
        {"model", {"base"}},
        {"policy", {"base", "model"}},
        {"budget", {"base", "model"}},
        {"placement", {"base", "model", "policy", "budget"}},
        {"host", {"base", "model"}},
        {"store", {"base", "model"}},
        {"drivers", {"base", "model", "host"}},
        {"fake", {"base", "model", "host", "drivers"}},
        {"guest", {"base", "model", "host", "drivers", "proto"}},
        {"vm", {"base", "model", "host"}},
        {"lifecycle", kBelowLifecycle},
        {"fleet", kBelowLifecycle},
        {"metrics", kBelowLifecycle},
        {"rpc", kBelowLifecycle},
        {"main", kAll},
        {"starter", {}},
        {"clawctl", {"base", "proto"}},
        {"tools", {"base"}},
        {"tests", kAll},
    };
    sees["metrics"].insert("lifecycle");
    sees["rpc"].insert({"lifecycle", "proto"});
    sees["main"].erase("fake");
    sees["main"].erase("tests");
    return sees;
  }();
  return kSees;
}

std::string LayerOf(std::string_view path) {
  std::string layer;
  size_t best = 0;
  for (const auto& [prefix, name] : Layers()) {
    if (path.starts_with(prefix) && prefix.size() > best) {
      best = prefix.size();
      layer = name;
    }
  }
  return layer;
}

bool IsPure(std::string_view layer) {
  return layer == "policy" || layer == "budget" || layer == "placement";
}

// Headers that a pure folder has no use for: I/O, clocks, threads, chance.
bool IsImpure(std::string_view header) {
  static const Names kImpure = {"agent/base/clock.h",
                                "agent/base/file.h",
                                "agent/base/id.h",
                                "agent/base/subprocess.h",
                                "agent/base/unique_fd.h",
                                "atomic",
                                "condition_variable",
                                "cstdio",
                                "ctime",
                                "filesystem",
                                "fstream",
                                "future",
                                "iostream",
                                "mutex",
                                "random",
                                "thread"};
  if (kImpure.count(header) != 0) return true;
  // POSIX: <unistd.h>, <sys/stat.h>; not <absl/…/x.h> nor ours.
  return header.ends_with(".h") && (header.find('/') == std::string_view::npos ||
                                    header.starts_with("sys/") || header.starts_with("linux/"));
}

bool IsProtobuf(std::string_view header) {
  return header.ends_with(".pb.h") || header.starts_with("google/protobuf/") ||
         header.starts_with("grpcpp/");
}

bool IsLinuxOnly(std::string_view header) {
  static const Names kLinux = {
      "sched.h",         "sys/capability.h", "sys/epoll.h",    "sys/eventfd.h", "sys/fanotify.h",
      "sys/fsuid.h",     "sys/inotify.h",    "sys/klog.h",     "sys/mount.h",   "sys/pidfd.h",
      "sys/prctl.h",     "sys/sendfile.h",   "sys/signalfd.h", "sys/syscall.h", "sys/sysinfo.h",
      "sys/sysmacros.h", "sys/timerfd.h",    "sys/vfs.h",      "sys/xattr.h",   "seccomp.h"};
  return header.starts_with("linux/") || kLinux.count(header) != 0;
}

struct Exception {
  std::string_view where;  // a prefix of the path
  std::string_view why;
};

// Where Linux-only headers may stand. Everything else also builds on macOS.
constexpr Exception kLinuxHeaders[] = {
    {"drivers/oci/", "runs containers, which only Linux has"},
    {"drivers/runc/", "runs containers, which only Linux has"},
    {"drivers/gvisor/", "runs containers, which only Linux has"},
    {"tests/", "tests of what runs on Linux"},
};

bool MayUseLinux(std::string_view path) {
  if (path.find("/linux/") != std::string_view::npos) return true;
  return std::any_of(std::begin(kLinuxHeaders), std::end(kLinuxHeaders),
                     [&](const Exception& entry) { return path.starts_with(entry.where); });
}

std::string At(const File& file, size_t line, std::string_view what) {
  return StrCat(file.path, ":", line, ": ", what);
}

bool IsCpp(std::string_view path) { return path.ends_with(".cc") || path.ends_with(".h"); }

// The header that a line includes, and whether it is in quotes.
bool ParseInclude(std::string_view line, std::string_view* header, bool* quoted) {
  line = Trim(line);
  if (!line.starts_with("#")) return false;
  line = Trim(line.substr(1));
  if (!line.starts_with("include")) return false;
  line = Trim(line.substr(7));
  if (line.size() < 2) return false;
  *quoted = line[0] == '"';
  const size_t end = line.find(*quoted ? '"' : '>', 1);
  if (end == std::string_view::npos) return false;
  *header = line.substr(1, end - 1);
  return true;
}

std::string CheckInclude(std::string_view path, const std::string& layer, std::string_view header,
                         bool quoted) {
  if (IsPure(layer) && IsImpure(header)) return StrCat(layer, " is pure, <", header, "> is not");
  if (IsProtobuf(header) && layer != "rpc" && layer != "guest" && layer != "clawctl" &&
      layer != "tests" && layer != "main") {
    return StrCat(layer, " may not see protobuf or gRPC: ", header);
  }
  if (IsLinuxOnly(header) && !MayUseLinux(path)) return StrCat("Linux only: <", header, ">");
  if (!quoted) return "";
  const std::string target = LayerOf(header);
  if (target.empty()) return StrCat("\"", header, "\" is not a path from the top of the tree");
  if (target == layer || Sees().at(layer).count(target) != 0) return "";
  return StrCat(layer, " may not include ", target, ": ", header);
}

// Comments that were code once.
bool LooksLikeCode(std::string_view line) {
  static const std::regex kCode(
      R"(^\s*//\s*(#include\b|(return|auto|const|static|using|std::\w+)\b.*;$|)"
      R"((if|for|while|switch) \(.*[;{]$|[\w:.>\-\[\]]+\(.*\);$|[\w.>\-]+ [+*/|&-]?= [^ ]+;$|\}$))");
  return std::regex_search(line.begin(), line.end(), kCode);
}

}  // namespace

Findings CheckIncludes(const File& file) {
  if (!IsCpp(file.path)) return {};
  const std::string layer = LayerOf(file.path);
  if (layer.empty()) return {At(file, 1, "a source file outside of every layer")};
  Findings findings;
  size_t number = 0;
  for (const std::string_view line : Split(file.text, '\n')) {
    ++number;
    std::string_view header;
    bool quoted = false;
    if (!ParseInclude(line, &header, &quoted)) continue;
    const std::string wrong = CheckInclude(file.path, layer, header, quoted);
    if (!wrong.empty()) findings.push_back(At(file, number, wrong));
  }
  return findings;
}

Findings CheckText(const File& file) {
  // Spelled in two halves, so that this file passes its own rule.
  static const std::regex kNote(
      "\\b(TO"
      "DO|FIX"
      "ME|XX"
      "X)\\b");
  static const std::regex kClock(R"(_clock::now\(|\btime\(nullptr\)|\brand\(\))");
  Findings findings;
  const std::vector<std::string_view> lines = Split(file.text, '\n');
  const bool pure = IsPure(LayerOf(file.path));
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = lines[i];
    const auto add = [&](std::string_view what) { findings.push_back(At(file, i + 1, what)); };
    if (line.find('\t') != std::string_view::npos) add("a tab");
    if (line.ends_with(' ') || line.ends_with('\r')) add("trailing white space");
    if (std::regex_search(line.begin(), line.end(), kNote)) add("a note to oneself");
    if (!IsCpp(file.path)) continue;
    if (LooksLikeCode(line)) add("code in a comment");
    if (pure && std::regex_search(line.begin(), line.end(), kClock)) add("a clock or chance");
  }
  if (!IsCpp(file.path)) return findings;
  if (lines.size() > kMaxLines) {
    findings.push_back(
        At(file, lines.size(), StrCat("longer than ", kMaxLines, " lines: split it by ideas")));
  }
  if (file.path.ends_with(".h") && !file.text.starts_with("#pragma once\n") &&
      file.text.find("\n#pragma once\n") == std::string::npos) {
    findings.push_back(At(file, 1, "no #pragma once"));
  }
  if (!file.text.ends_with('\n'))
    findings.push_back(At(file, lines.size(), "no newline at the end"));
  return findings;
}

Findings CheckTopLevel(const std::vector<std::string>& names) {
  static const Names kAllowed = {"CMakeLists.txt", "CMakePresets.json",
                                 "README.md",      "agent",
                                 "drivers",        "vm",
                                 "proto",          "store",
                                 "tests",          "tools"};
  Findings findings;
  for (const std::string& name : names) {
    if (name.starts_with(".") || kAllowed.count(name) != 0) continue;
    findings.push_back(StrCat(name, ": does not belong at the top"));
  }
  return findings;
}

Findings CheckReadmes(const std::vector<std::string>& paths) {
  // Folders that are to have one even where no source stands in them directly.
  Names wanted = {"agent", "drivers", "proto", "store", "tests", "tools", "vm"};
  const Names have(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos || !IsCpp(path)) continue;
    const std::string folder = path.substr(0, slash);
    // A platform's part is told of in the folder above, a suite in tests/.
    if (folder.ends_with("/linux") || folder.ends_with("/darwin")) continue;
    if (folder.starts_with("tests/")) continue;
    wanted.insert(folder);
  }
  Findings findings;
  for (const std::string& folder : wanted) {
    const std::string readme = StrCat(folder, "/README.md");
    if (have.count(readme) == 0) findings.push_back(StrCat(readme, ": is missing"));
  }
  return findings;
}

}  // namespace claw::tidy
