#include "tools/clawctl/suite_file.h"

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <set>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/words.h"

namespace claw::ctl {
namespace {

constexpr int64_t kLongestProbeMillis = 600'000;
constexpr int64_t kLeastMemory = 16 * kMiB;
constexpr int64_t kMostMemory = 16384 * kGiB;

int LineOf(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  StatusOr<Suite> ReadTop(const toml::table& top) {
    RETURN_IF_ERROR(OnlyKeys(top, {"image"}));
    Suite suite{.path = path_, .images = {}};
    std::set<std::string> names;
    ASSIGN_OR_RETURN(const auto tables, Tables(top, "image"));
    for (const toml::table* table : tables) {
      ASSIGN_OR_RETURN(suite.images.emplace_back(), ReadImage(*table));
      const std::string& name = suite.images.back().name;
      if (!names.insert(name).second) return At(*table, "the image '", name, "' is there twice");
    }
    if (suite.images.empty()) return InvalidArgument(path_, ": there is no [[image]] in it");
    return suite;
  }

 private:
  template <typename... Parts>
  [[nodiscard]] Status At(const toml::node& node, const Parts&... parts) const {
    return InvalidArgument(path_, ":", LineOf(node), ": ", parts...);
  }

  [[nodiscard]] Status OnlyKeys(const toml::table& table,
                                std::initializer_list<std::string_view> known) const {
    for (const auto& [key, value] : table) {
      if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
      std::string list;
      for (const std::string_view name : known) list += StrCat(list.empty() ? "" : ", ", name);
      return InvalidArgument(path_, ":", key.source().begin.line, ": unknown key '",
                             EscapeControls(key.str()), "'; known here: ", list);
    }
    return absl::OkStatus();
  }

  // The tables of [[key]]; none if it is absent.
  StatusOr<std::vector<const toml::table*>> Tables(const toml::table& table,
                                                   std::string_view key) const {
    std::vector<const toml::table*> tables;
    const toml::node* node = table.get(key);
    if (node == nullptr) return tables;
    const toml::array* array = node->as_array();
    if (array == nullptr) return At(*node, "'", key, "' has to be written as [[", key, "]]");
    for (const toml::node& item : *array) {
      if (item.as_table() == nullptr) return At(item, "'", key, "' has to be a list of tables");
      tables.push_back(item.as_table());
    }
    return tables;
  }

  // Text without NUL, which no command line and no environment can carry.
  StatusOr<std::string> Text(const toml::node& node, std::string_view key) const {
    const auto* value = node.as_string();
    if (value == nullptr) return At(node, "'", key, "' has to be a string");
    if (Contains(value->get(), std::string_view("\0", 1))) {
      return At(node, "'", key, "' has a NUL in it");
    }
    return value->get();
  }

  StatusOr<std::vector<std::string>> Texts(const toml::node& node, std::string_view key) const {
    const toml::array* array = node.as_array();
    if (array == nullptr) return At(node, "'", key, "' has to be a list of strings");
    std::vector<std::string> texts;
    for (const toml::node& item : *array) {
      ASSIGN_OR_RETURN(texts.emplace_back(), Text(item, key));
    }
    return texts;
  }

  Status ReadText(const toml::table& table, std::string_view key, std::string* target) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) return absl::OkStatus();
    ASSIGN_OR_RETURN(*target, Text(*node, key));
    return absl::OkStatus();
  }

  StatusOr<SuiteImage> ReadImage(const toml::table& table) const {
    RETURN_IF_ERROR(OnlyKeys(table, {"name", "source", "memory", "probe"}));
    SuiteImage image;
    image.line = LineOf(table);
    RETURN_IF_ERROR(ReadText(table, "name", &image.name));
    if (image.name.empty()) return At(table, "the image has no 'name'");
    RETURN_IF_ERROR(ReadText(table, "source", &image.source));
    RETURN_IF_ERROR(ReadMemory(table, &image.memory_bytes));
    ASSIGN_OR_RETURN(const auto probes, Tables(table, "probe"));
    std::set<std::string> names;
    for (const toml::table* probe : probes) {
      ASSIGN_OR_RETURN(image.probes.emplace_back(), ReadProbe(*probe));
      const std::string& name = image.probes.back().name();
      if (!names.insert(name).second) {
        return At(*probe, "the image '", image.name, "' has two probes named '", name,
                  "'; give them a 'name' each");
      }
    }
    return image;
  }

  Status ReadMemory(const toml::table& table, int64_t* bytes) const {
    const toml::node* node = table.get("memory");
    if (node == nullptr) return absl::OkStatus();
    if (const auto* number = node->as_integer()) {
      *bytes = number->get();
    } else if (const auto* text = node->as_string()) {
      const auto parsed = ParseBytes(text->get());
      if (!parsed.ok()) return At(*node, "'memory': ", parsed.status().message());
      *bytes = *parsed;
    } else {
      return At(*node, "'memory' has to be bytes, or a string such as \"512Mi\"");
    }
    if (*bytes < kLeastMemory || *bytes > kMostMemory) {
      return At(*node, "'memory' has to be between 16Mi and 16Ti");
    }
    return absl::OkStatus();
  }

  StatusOr<pb::Probe> ReadProbe(const toml::table& table) const {
    RETURN_IF_ERROR(OnlyKeys(
        table, {"name", "command", "exit_code", "output", "output_contains", "timeout", "env"}));
    pb::Probe probe;
    RETURN_IF_ERROR(ReadText(table, "name", probe.mutable_name()));
    RETURN_IF_ERROR(ReadCommand(table, probe));
    RETURN_IF_ERROR(ReadOutcome(table, probe));
    RETURN_IF_ERROR(ReadTimeout(table, probe));
    if (const toml::node* env = table.get("env")) {
      ASSIGN_OR_RETURN(const auto pairs, Texts(*env, "env"));
      for (const std::string& pair : pairs) {
        const auto parsed = ParsePair(pair);
        if (!parsed.ok()) return At(*env, "'env': ", parsed.status().message());
        probe.add_env(pair);
      }
    }
    if (probe.name().empty() && probe.command_size() > 0) probe.set_name(probe.command(0));
    if (probe.name().empty()) probe.set_name("image");
    return probe;
  }

  // A line or a list of words; absent: the image's own program.
  Status ReadCommand(const toml::table& table, pb::Probe& probe) const {
    const toml::node* node = table.get("command");
    if (node == nullptr) return absl::OkStatus();
    std::vector<std::string> words;
    if (node->as_array() != nullptr) {
      ASSIGN_OR_RETURN(words, Texts(*node, "command"));
      if (words.empty() || words[0].empty()) return At(*node, "'command' names no program");
    } else if (node->as_string() != nullptr) {
      ASSIGN_OR_RETURN(const std::string line, Text(*node, "command"));
      auto split = SplitCommand(line);
      if (!split.ok()) return At(*node, "'command': ", split.status().message());
      words = *std::move(split);
    } else {
      return At(*node, "'command' has to be a string or a list of strings");
    }
    probe.mutable_command()->Assign(words.begin(), words.end());
    return absl::OkStatus();
  }

  Status ReadOutcome(const toml::table& table, pb::Probe& probe) const {
    if (const toml::node* code = table.get("exit_code")) {
      const auto* number = code->as_integer();
      if (number == nullptr || number->get() < 0 || number->get() > 255) {
        return At(*code, "'exit_code' has to be a number from 0 to 255");
      }
      probe.set_exit_code(static_cast<int32_t>(number->get()));
    }
    const toml::node* whole = table.get("output");
    const toml::node* part = table.get("output_contains");
    if (whole != nullptr && part != nullptr) {
      return At(*part, "a probe has 'output' or 'output_contains', not both");
    }
    if (whole != nullptr) {
      ASSIGN_OR_RETURN(*probe.mutable_output(), Text(*whole, "output"));
    }
    if (part != nullptr) {
      ASSIGN_OR_RETURN(*probe.mutable_output_contains(), Text(*part, "output_contains"));
    }
    return absl::OkStatus();
  }

  Status ReadTimeout(const toml::table& table, pb::Probe& probe) const {
    const toml::node* node = table.get("timeout");
    if (node == nullptr) return absl::OkStatus();
    int64_t millis = 0;
    if (const auto* number = node->as_integer()) {
      millis = SaturatingMul(number->get(), 1000);
    } else if (const auto* text = node->as_string()) {
      const auto parsed = ParseDuration(text->get());
      if (!parsed.ok()) return At(*node, "'timeout': ", parsed.status().message());
      millis = parsed->count();
    } else {
      return At(*node, "'timeout' has to be seconds, or a string such as \"90s\"");
    }
    if (millis <= 0 || millis > kLongestProbeMillis) {
      return At(*node, "'timeout' has to be more than 0 and at most 10m");
    }
    probe.mutable_timeout()->set_seconds(millis / 1000);
    probe.mutable_timeout()->set_nanos(static_cast<int32_t>(millis % 1000 * 1'000'000));
    return absl::OkStatus();
  }

  const std::string path_;
};

// Line of the first byte that is no UTF-8; 0 if there is none. The TOML parser stops at such bytes
// too, but says neither which line nor what is wrong in all cases.
int BadUtf8Line(std::string_view text) {
  int line = 1;
  while (!text.empty()) {
    const CodePoint point = DecodeUtf8(text);
    if (point.length == 0) return line;
    if (point.value == '\n') ++line;
    text.remove_prefix(point.length);
  }
  return 0;
}

}  // namespace

StatusOr<Suite> ParseSuite(std::string_view text, const std::string& path) {
  if (const int line = BadUtf8Line(text); line > 0) {
    return InvalidArgument(path, ":", line, ": this line is not UTF-8");
  }
  const toml::parse_result parsed = toml::parse(text, path);
  if (!parsed) {
    return InvalidArgument(path, ":", parsed.error().source().begin.line, ": ",
                           parsed.error().description());
  }
  return Reader(path).ReadTop(parsed.table());
}

StatusOr<Suite> ReadSuite(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseSuite(text, path);
}

}  // namespace claw::ctl
