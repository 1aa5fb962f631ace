#include "tools/clawctl/cli.h"

#include "agent/base/bytes.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"

namespace claw::ctl {
namespace {

constexpr char kGlobalsNote[] =
    "\n\nOptions of every command (see clawctl --help):\n"
    "  --socket PATH, -o table|wide|json|yaml, --timeout DURATION, --no-color, -v";

}  // namespace

CLI::App* AddGroup(CLI::App& parent, const std::string& name, const std::string& description,
                   const std::string& example) {
  CLI::App* group = parent.add_subcommand(name, description);
  group->fallthrough()->require_subcommand(1)->footer("Example:\n  " + example);
  return group;
}

CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& description,
                     const std::string& example) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->fallthrough()->footer("Example:\n  " + example + kGlobalsNote);
  return command;
}

void SetAction(CLI::App* command, Context& context, std::function<Status()> action) {
  SetCodeAction(command, context,
                [&context, action = std::move(action)] { return context.Report(action()); });
}

void SetCodeAction(CLI::App* command, Context& context, std::function<int()> action) {
  command->callback([&context, action = std::move(action)] { context.action = action; });
}

CLI::Option* AddBytes(CLI::App& command, const std::string& name,
                      std::function<void(int64_t bytes)> set, const std::string& description) {
  return command
      .add_option_function<std::string>(
          name,
          [name, set = std::move(set)](const std::string& text) {
            const StatusOr<int64_t> bytes = ParseBytes(text);
            ThrowIfError(name, bytes.status());
            set(*bytes);
          },
          description)
      ->type_name("BYTES");
}

void ThrowIfError(const std::string& option, const Status& status) {
  if (!status.ok()) throw CLI::ValidationError(option, std::string(status.message()));
}

CLI::Option* AddDuration(CLI::App& command, const std::string& name,
                         std::optional<std::chrono::milliseconds>& target,
                         const std::string& description, const std::string& fallback) {
  CLI::Option* option = command.add_option_function<std::string>(
      name,
      [name, &target](const std::string& text) {
        const auto parsed = ParseDuration(text);
        ThrowIfError(name, parsed.status());
        target = *parsed;
      },
      description);
  return option->type_name("DURATION")->default_str(fallback);
}

CLI::Option* AddRepeated(CLI::App& command, const std::string& name,
                         std::vector<std::string>& target, const std::string& description) {
  return command.add_option(name, target, description)->allow_extra_args(false);
}

CLI::Validator PairCheck() {
  return CLI::Validator(
      [](const std::string& text) {
        const auto pair = ParsePair(text);
        return pair.ok() ? std::string() : std::string(pair.status().message());
      },
      "");
}

StatusOr<std::vector<std::string>> RequireProgram(const Context& context,
                                                  const std::string& usage) {
  if (context.program && !context.program->empty()) return *context.program;
  return UsageError("put the command after --: " + usage);
}

}  // namespace claw::ctl
