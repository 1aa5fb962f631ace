#include "tools/clawctl/app.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/version.h"

namespace claw::ctl {
namespace {

// Says where the program's words go, which CLI11 never sees.
class Formatter final : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* app, std::string name) const override {
    std::string usage = CLI::Formatter::make_usage(app, std::move(name));
    const CLI::App* group = app->get_parent();
    const std::string command = (group ? group->get_name() + " " : "") + app->get_name();
    static const std::set<std::string> kTakesProgram = {"node run", "node explain", "node reserve",
                                                        "node exec", "compat test"};
    if (kTakesProgram.count(command) == 0) return usage;
    const size_t end = usage.find_last_not_of('\n') + 1;
    const char* words = command == "node exec" ? " -- CMD [ARGS...]" : " [-- CMD ARGS...]";
    return usage.substr(0, end) + words + usage.substr(end);
  }
};

void AddGlobalOptions(CLI::App& app, Context& context) {
  GlobalOptions& options = context.options;
  app.add_option("--socket", options.socket, "Unix socket of the agent")
      ->envname("CLAWLET_SOCKET")
      ->type_name("PATH")
      ->capture_default_str();
  app.add_option_function<std::string>(
         "-o,--output",
         [&options](const std::string& name) {
           static const std::map<std::string, Format> kFormats = {{"table", Format::kTable},
                                                                  {"wide", Format::kWide},
                                                                  {"json", Format::kJson},
                                                                  {"yaml", Format::kYaml}};
           const auto found = kFormats.find(name);
           if (found == kFormats.end()) {
             throw CLI::ValidationError("--output",
                                        "'" + name + "' is none of table, wide, json, yaml");
           }
           options.format = found->second;
         },
         "How to print data: table, wide, json or yaml")
      ->type_name("FORMAT");
  AddDuration(
      app, "--timeout", options.timeout,
      "Longest time for one call to the agent; 0 for no limit. Waits, logs, events and image "
      "transfers have no limit unless it is given",
      "30s");
  app.add_flag("--no-color", options.no_color, "No colours, as with NO_COLOR in the environment");
  app.add_flag("-v,--verbose", options.verbose, "Say on standard error what is called");
}

void AddAll(CLI::App& app, Context& context) {
  app.formatter(std::make_shared<Formatter>());
  app.require_subcommand(1);
  app.set_version_flag("--version", "clawctl " + std::string(kVersion),
                       "Print the version and exit");
  app.footer(
      "Examples:\n  clawctl node status\n"
      "  clawctl node run --tenant acme --image busybox:1 -- echo hello\n\n" +
      std::string(ExitCodeHelp()));
  AddGlobalOptions(app, context);
  CLI::App* node =
      AddGroup(app, "node", "Manage this node and its sandboxes", "clawctl node ps -a");
  AddStatusCommands(*node, context);
  AddTenantCommands(*node, context);
  AddRunCommand(*node, context);
  AddExplainCommand(*node, context);
  AddReservationCommands(*node, context);
  AddPsCommands(*node, context);
  AddLogsCommand(*node, context);
  AddExecCommand(*node, context);
  AddLifecycleCommands(*node, context);
  AddImageCommands(*node, context);
  AddCompatCommands(*node, context);
  AddEventsCommand(*node, context);
  AddWatchCommand(*node, context);
  AddTopCommand(*node, context);
  AddBudgetCommands(*node, context);
  AddCapacityCommand(*node, context);
  AddNetworkCommands(*node, context);
  AddVmCommands(*node, context);
  AddTargetsCommand(*node, context);
  AddCordonCommands(*node, context);
  AddDoctorCommand(*node, context);
  AddCompletionCommand(*node, context);
  AddCompletionCommand(app, context);
  AddCompleteCommand(app, context);
}

// "clawctl node run" of the commands that were recognised.
std::string CommandPath(const CLI::App& app) {
  std::string path = "clawctl";
  for (auto chosen = app.get_subcommands(); !chosen.empty();
       chosen = chosen.front()->get_subcommands()) {
    path += " " + chosen.front()->get_name();
  }
  return path;
}

}  // namespace

int RunClawctl(const std::vector<std::string>& args, Io io, const Clock& clock) {
  Context context(io, clock);
  if (const char* no_color = std::getenv("NO_COLOR"); no_color != nullptr && *no_color != '\0') {
    context.options.no_color = true;
  }
  // What stands behind "--" belongs to the program in the sandbox, options and all.
  const auto separator = std::find(args.begin(), args.end(), "--");
  if (separator != args.end()) context.program.emplace(separator + 1, args.end());

  CLI::App app("clawctl: the administrator's command line of clawlet", "clawctl");
  AddAll(app, context);
  std::vector<std::string> words(args.begin(), separator);
  // CLI11 takes them from the back.
  std::reverse(words.begin(), words.end());
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      std::ostringstream text;
      std::ostringstream unused;
      app.exit(error, text, unused);
      context.Out(text.str());
      return kExitOk;
    }
    context.Notice(error.what());
    context.Err("Try '" + CommandPath(app) + " --help'.\n");
    return kExitUsage;
  }
  if (context.program && !context.takes_program) {
    context.Notice("this command takes nothing after --");
    context.Err("Try '" + CommandPath(app) + " --help'.\n");
    return kExitUsage;
  }
  return context.action ? context.action() : kExitUsage;
}

}  // namespace claw::ctl
