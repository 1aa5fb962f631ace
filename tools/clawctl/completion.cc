#include <absl/strings/str_join.h>

#include <algorithm>
#include <memory>

#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"

namespace claw::ctl {
namespace {

// Whoever presses Tab does not wait longer than this for names.
constexpr std::chrono::milliseconds kLookupTimeout{1000};

constexpr char kBash[] = R"SH(# bash completion for clawctl: source <(clawctl completion bash)
_clawctl() {
  local cur words cword
  if declare -F _get_comp_words_by_ref >/dev/null; then
    # Keep image names with a colon and NAME=VALUE in one piece.
    _get_comp_words_by_ref -n := cur words cword
  else
    cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
  fi
  mapfile -t COMPREPLY < <(clawctl __complete -- "${words[@]:1:cword}" 2>/dev/null)
  if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$cur"; fi
}
complete -o default -F _clawctl clawctl
)SH";

// clang-format off: it takes zsh for C++.
constexpr char kZsh[] = R"SH(#compdef clawctl
# zsh completion for clawctl: source <(clawctl completion zsh), after compinit
_clawctl() {
  local -a candidates
  candidates=("${(@f)$(clawctl __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$candidates" ]]; then compadd -- "${candidates[@]}"; else _files; fi
}
compdef _clawctl clawctl
)SH";
// clang-format on

// What a word stands for, when it is neither a command nor an option.
enum class Kind {
  kNothing,
  kTenant,
  kSandbox,
  kReservation,
  kImage,
  kDigest,
  kOverride,
  kNetworkPolicy,
  kVm
};

Kind KindOfOption(const CLI::Option& option) {
  if (option.check_lname("tenant") || option.check_lname("avoid-tenant")) return Kind::kTenant;
  if (option.check_lname("image")) return Kind::kImage;
  if (option.check_lname("network-policy")) return Kind::kNetworkPolicy;
  return Kind::kNothing;
}

Kind KindOfPositional(const CLI::App& command) {
  const CLI::App* group = command.get_parent();
  const std::string parent = group != nullptr ? group->get_name() : "";
  const std::string& name = command.get_name();
  const auto is = [&name](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (parent == "node" && is({"inspect", "logs", "exec", "wait", "stop", "rm"})) {
    return Kind::kSandbox;
  }
  if (parent == "node" && is({"commit", "release"})) return Kind::kReservation;
  if (parent == "tenant" && is({"show", "set", "rm"})) return Kind::kTenant;
  if (parent == "network" && is({"set", "show"})) return Kind::kSandbox;
  if (parent == "policy" && is({"set", "show", "rm"})) return Kind::kNetworkPolicy;
  if (parent == "vm" && !is({"ls", "create", "image"})) return Kind::kVm;
  if (parent == "image" && is({"inspect", "rm"})) return Kind::kImage;
  if (parent == "compat" && is({"test", "show", "accept", "rm"})) return Kind::kImage;
  if (parent == "override" && name == "add") return Kind::kDigest;
  if (parent == "override" && name == "rm") return Kind::kOverride;
  return Kind::kNothing;
}

// The option of a command, or of one above it, that is written as `word`.
const CLI::Option* FindOption(const CLI::App* command, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  for (; command != nullptr; command = command->get_parent()) {
    for (const CLI::Option* option : command->get_options({})) {
      if (option->nonpositional() && option->check_name(name)) return option;
    }
  }
  return nullptr;
}

void AddOptionNames(const CLI::App* command, std::vector<std::string>& out) {
  for (; command != nullptr; command = command->get_parent()) {
    for (const CLI::Option* option : command->get_options({})) {
      for (const std::string& name : option->get_lnames()) out.push_back("--" + name);
      for (const std::string& name : option->get_snames()) out.push_back("-" + name);
    }
  }
}

void AddTenants(Client& client, std::vector<std::string>& out) {
  const auto tenants = client.ListTenants();
  if (!tenants.ok()) return;
  for (const auto& tenant : *tenants) out.emplace_back(BareName(tenant.name()));
}

void AddSandboxes(Client& client, std::vector<std::string>& out) {
  const auto sandboxes = client.ListSandboxes("", false);
  if (!sandboxes.ok()) return;
  for (const auto& sandbox : *sandboxes) {
    const std::string& name = sandbox.spec().display_name();
    out.emplace_back(name.empty() ? BareName(sandbox.name()) : std::string_view(name));
  }
}

void AddReservations(Client& client, std::vector<std::string>& out) {
  const auto reservations = client.ListReservations();
  if (!reservations.ok()) return;
  for (const auto& reservation : *reservations) out.emplace_back(BareName(reservation.name()));
}

void AddImages(Client& client, std::vector<std::string>& out) {
  const auto images = client.ListImages();
  if (!images.ok()) return;
  for (const auto& image : *images) {
    out.insert(out.end(), image.references().begin(), image.references().end());
    if (image.references().empty()) out.emplace_back(BareName(image.name()));
  }
}

void AddNetworkPolicies(Client& client, std::vector<std::string>& out) {
  const auto policies = client.ListNetworkPolicies();
  if (!policies.ok()) return;
  for (const auto& named : *policies) out.emplace_back(BareName(named.name()));
}

void AddVms(Client& client, std::vector<std::string>& out) {
  const auto vms = client.ListVms();
  if (!vms.ok()) return;
  for (const auto& vm : vms->vms()) out.emplace_back(BareName(vm.name()));
}

void AddDigests(Client& client, std::vector<std::string>& out) {
  const auto images = client.ListImages();
  if (!images.ok()) return;
  for (const auto& image : *images) {
    out.emplace_back(BareName(image.name()));
    for (const auto& name : image.references()) {
      out.push_back(StrCat(name, "@", BareName(image.name())));
    }
  }
}

void AddOverridden(Client& client, std::vector<std::string>& out) {
  const auto overrides = client.ListOverrides();
  if (!overrides.ok()) return;
  for (const auto& entry : *overrides) out.emplace_back(BareName(entry.image()));
}

void AddNames(Context& context, Kind kind, std::vector<std::string>& out) {
  switch (kind) {
    case Kind::kTenant:
      return AddTenants(context.client(), out);
    case Kind::kSandbox:
      return AddSandboxes(context.client(), out);
    case Kind::kReservation:
      return AddReservations(context.client(), out);
    case Kind::kImage:
      return AddImages(context.client(), out);
    case Kind::kDigest:
      return AddDigests(context.client(), out);
    case Kind::kOverride:
      return AddOverridden(context.client(), out);
    case Kind::kNetworkPolicy:
      return AddNetworkPolicies(context.client(), out);
    case Kind::kVm:
      return AddVms(context.client(), out);
    case Kind::kNothing:
      return;
  }
}

// Where in the tree of commands the words before the last one lead.
struct Position {
  const CLI::App* command = nullptr;
  // The option whose value comes next.
  const CLI::Option* pending = nullptr;
  // Behind "--", where the words are the program's.
  bool in_program = false;
};

const CLI::App* FindCommand(const CLI::App& group, const std::string& name) {
  const auto found = group.get_subcommands(
      [&name](const CLI::App* candidate) { return candidate->get_name() == name; });
  return found.empty() ? nullptr : found.front();
}

// Takes the words in; the socket is the one option that matters to lookups.
Position Walk(const CLI::App& root, const std::vector<std::string>& words, Context& context) {
  Position position{.command = &root};
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (position.pending != nullptr) {
      if (position.pending->check_lname("socket")) context.options.socket = word;
      position.pending = nullptr;
    } else if (word == "--") {
      position.in_program = true;
      return position;
    } else if (word.starts_with("-")) {
      const CLI::Option* option = FindOption(position.command, word);
      const bool takes_value = option != nullptr && option->get_items_expected_max() > 0;
      if (takes_value && !Contains(word, "=")) position.pending = option;
      if (takes_value && word.starts_with("--socket=")) {
        context.options.socket = word.substr(word.find('=') + 1);
      }
    } else if (const CLI::App* next = FindCommand(*position.command, word)) {
      position.command = next;
    }
  }
  return position;
}

std::vector<std::string> Candidates(Context& context, const Position& position,
                                    const std::string& last) {
  std::vector<std::string> out;
  if (position.in_program) return out;
  if (position.pending != nullptr) {
    if (position.pending->check_lname("output")) return {"table", "wide", "json", "yaml"};
    if (position.pending->check_lname("trust")) return {"trusted", "untrusted"};
    if (position.pending->check_lname("network")) return {"bridge", "none"};
    if (position.pending->check_lname("isolation")) return {"gvisor"};
    if (position.pending->check_lname("class")) return {"gvisor", "legacy-hardened"};
    AddNames(context, KindOfOption(*position.pending), out);
  } else if (last.starts_with("-")) {
    AddOptionNames(position.command, out);
  } else {
    for (const CLI::App* command : position.command->get_subcommands(
             [](const CLI::App* candidate) { return !candidate->get_group().empty(); })) {
      out.push_back(command->get_name());
    }
    if (position.command->get_name() == "completion") out = {"bash", "zsh"};
    AddNames(context, KindOfPositional(*position.command), out);
  }
  return out;
}

int Complete(Context& context, const CLI::App& root) {
  const std::vector<std::string> words = context.program.value_or(std::vector<std::string>{});
  const std::string last = words.empty() ? "" : words.back();
  // Nothing that goes wrong here may be printed into the user's line.
  context.options.timeout = kLookupTimeout;
  const Position position = Walk(root, words, context);
  std::vector<std::string> matches;
  for (const std::string& candidate : Candidates(context, position, last)) {
    // A name with control characters cannot be typed anyway.
    const bool printable = EscapeControls(candidate) == candidate;
    if (printable && candidate.starts_with(last)) matches.push_back(candidate);
  }
  std::sort(matches.begin(), matches.end());
  matches.erase(std::unique(matches.begin(), matches.end()), matches.end());
  if (!matches.empty()) context.Out(absl::StrJoin(matches, "\n") + "\n");
  return kExitOk;
}

}  // namespace

void AddCompletionCommand(CLI::App& parent, Context& context) {
  CLI::App* command = AddCommand(parent, "completion", "Print the completion script of a shell",
                                 "source <(clawctl completion bash)");
  const auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}).description(""));
  SetCodeAction(command, context, [&context, shell] {
    context.Out(*shell == "bash" ? kBash : kZsh);
    return static_cast<int>(kExitOk);
  });
}

void AddCompleteCommand(CLI::App& root, Context& context) {
  CLI::App* command = AddCommand(root, "__complete", "Print what may stand at the end of a line",
                                 "clawctl __complete -- node run --ten");
  command->group("");  // not shown
  SetCodeAction(command, context, [&context, &root] { return Complete(context, root); });
  command->parse_complete_callback([&context] { context.takes_program = true; });
}

}  // namespace claw::ctl
