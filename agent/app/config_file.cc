#include <toml++/toml.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <sstream>

#include "agent/app/config_keys.h"
#include "agent/app/server_keys.h"
#include "agent/config.h"
#include "agent/model/tenant.h"

namespace claw {
namespace {

// How many letters have to change to make one of the other.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

// The known key that `name` was perhaps meant to be; one that only stands in another section is
// near.
std::string_view NearestKey(std::string_view name) {
  const auto last = [](std::string_view key) { return key.substr(key.rfind('.') + 1); };
  std::string_view nearest;
  size_t least = std::max<size_t>(3, name.size() / 3) + 1;
  for (const ConfigKey& key : ConfigKeys()) {
    size_t distance = EditDistance(name, key.name);
    if (last(name) == last(key.name)) distance = std::min<size_t>(distance, 2);
    if (distance >= least) continue;
    least = distance;
    nearest = key.name;
  }
  return nearest;
}

std::optional<ConfigKey::Value> ValueOf(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return number->get();
  if (const auto* on = node.as_boolean()) return on->get();
  return std::nullopt;
}

constexpr std::string_view kKeyForm =
    "has to be the absolute path of a file of OpenPGP public keys";
constexpr std::string_view kSignaturesForm =
    "has to be where signatures are kept, as in \"https://signatures.example.com\" or "
    "\"file:///srv/signatures\"";

class Reader {
 public:
  explicit Reader(std::string_view file_name) : file_name_(file_name) {}

  void Read(const toml::table& table, const std::string& prefix) {
    for (auto&& [key, node] : table) {
      ReadKey(StrCat(prefix, std::string_view(key.str())), key.source().begin.line, node);
    }
  }

  void Complain(uint32_t line, std::string_view what) {
    mistakes_.emplace(line, StrCat(file_name_, ":", line, ": ", what));
  }

  StatusOr<Config> Finish() {
    if (mistakes_.empty()) return std::move(config_);
    std::vector<std::string> lines;
    for (const auto& [line, text] : mistakes_) lines.push_back(text);
    return MakeError(StatusCode::kInvalidArgument, Join(lines, "\n"), {.reason = "BAD_CONFIG"});
  }

 private:
  void ReadKey(const std::string& name, uint32_t line, const toml::node& node) {
    if (name == "signers") return ReadSigners(line, node);
    const std::vector<ConfigKey>& keys = ConfigKeys();
    const auto key = std::find_if(keys.begin(), keys.end(),
                                  [&](const ConfigKey& known) { return known.name == name; });
    if (key != keys.end()) {
      SetKey(*key, line, node);
    } else if (!IsSection(name)) {
      const std::string_view nearest = NearestKey(name);
      Complain(line, StrCat("there is no key ", name,
                            nearest.empty() ? "" : StrCat("; perhaps ", nearest, "?")));
    } else if (const toml::table* section = node.as_table()) {
      Read(*section, name + ".");
    } else {
      Complain(line, StrCat(name, " is a section, not a value"));
    }
  }

  // Their names are the operator's.
  void ReadSigners(uint32_t line, const toml::node& node) {
    const toml::table* signers = node.as_table();
    if (signers == nullptr) return Complain(line, "signers is a section, not a value");
    for (auto&& [key, entry] : *signers) {
      const std::string name(key.str());
      const uint32_t at = key.source().begin.line;
      const Status valid = ValidateName("a signer", name);
      const toml::table* fields = entry.as_table();
      if (!valid.ok()) {
        Complain(at, ToStd(valid.message()));
      } else if (fields == nullptr) {
        Complain(at, StrCat("signers.", name, " is a section, not a value"));
      } else {
        ReadSigner(name, at, *fields);
      }
    }
  }

  void ReadSigner(const std::string& name, uint32_t line, const toml::table& fields) {
    Config::Signer signer;
    for (auto&& [key, value] : fields) {
      const std::string text = value.value<std::string>().value_or("");
      const uint32_t at = key.source().begin.line;
      if (key.str() == "key") {
        signer.key = text;
        if (!text.starts_with("/")) Complain(at, StrCat("signers.", name, ".key ", kKeyForm));
      } else if (key.str() == "signatures") {
        signer.signatures = text;
        if (!text.starts_with("https://") && !text.starts_with("file:///")) {
          Complain(at, StrCat("signers.", name, ".signatures ", kSignaturesForm));
        }
      } else {
        Complain(at, StrCat("there is no key signers.", name, ".", std::string_view(key.str()),
                            "; there are key and signatures"));
      }
    }
    if (signer.key.empty()) Complain(line, StrCat("signers.", name, " has no key"));
    config_.signers[name] = std::move(signer);
  }

  void SetKey(const ConfigKey& key, uint32_t line, const toml::node& node) {
    const std::optional<ConfigKey::Value> value = ValueOf(node);
    const Status status =
        value ? key.set(config_, *value) : InvalidArgument("has to be ", key.form);
    if (!status.ok()) Complain(line, StrCat(key.name, " ", ToStd(status.message())));
  }

  static bool IsSection(const std::string& name) {
    const std::vector<ConfigKey>& keys = ConfigKeys();
    return std::any_of(keys.begin(), keys.end(),
                       [&](const ConfigKey& key) { return key.name.starts_with(name + "."); });
  }

  const std::string file_name_;
  Config config_;
  std::multimap<uint32_t, std::string> mistakes_;
};

}  // namespace

StatusOr<Config> ParseConfig(std::string_view text, std::string_view file_name) {
  Reader reader(file_name);
  try {
    reader.Read(toml::parse(text, file_name), "");
  } catch (const toml::parse_error& error) {
    reader.Complain(error.source().begin.line, error.description());
  }
  StatusOr<Config> config = reader.Finish();
  if (config.ok()) {
    const std::string problem = ServerProblem(*config);
    if (!problem.empty()) return InvalidArgument(file_name, ": ", problem);
  }
  if (config.ok() && !config->runc.enabled && !config->gvisor.enabled) {
    return InvalidArgument(file_name, ": both drivers are off; nothing could run");
  }
  return config;
}

std::string FormatConfig(const Config& config) {
  std::string text;
  std::string_view section;
  for (const ConfigKey& key : ConfigKeys()) {
    const size_t dot = key.name.rfind('.');
    if (key.name.substr(0, dot) != section) {
      section = key.name.substr(0, dot);
      text += StrCat(text.empty() ? "" : "\n", "[", section, "]\n");
    }
    const std::string value = key.show(config);
    text += StrCat("# ", key.help, "\n", value.empty() ? "# " : "", key.name.substr(dot + 1), " = ",
                   value.empty() ? "" : value, "\n");
  }
  text += "\n# [signers.NAME]: whose signatures can be asked for (`image pull --signer NAME`)\n";
  for (const auto& [name, signer] : config.signers) {
    text +=
        StrCat("[signers.", name, "]\n# OpenPGP public keys\nkey = ", Quote(signer.key.string()),
               "\n# Where the signatures of images in registries are\n",
               signer.signatures.empty() ? "# " : "",
               "signatures = ", signer.signatures.empty() ? "" : Quote(signer.signatures), "\n");
  }
  return text;
}

}  // namespace claw
