#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/program_io.h"
#include "tools/clawctl/resolve.h"
#include "tools/clawctl/sandbox_view.h"

namespace claw::ctl {
namespace {

struct NamesOptions {
  std::vector<std::string> names;
  std::optional<std::chrono::milliseconds> grace;
  bool force = false;
  std::string signal = "TERM";
};

int Wait(Context& context, const std::string& typed) {
  const auto name = ResolveSandbox(context.client(), typed);
  const auto sandbox = name.ok() ? context.client().WaitSandbox(*name) : name.status();
  if (!sandbox.ok()) {
    (void)context.Report(sandbox.status());
    return kExitNotRun;
  }
  ProgramEnd end;
  if (sandbox->has_exit()) {
    end.exit = sandbox->exit();
  } else {
    end.status = MakeError(StatusCode::kUnknown,
                           StrCat(typed, " is ", StateLabel(*sandbox),
                                  ", its exit code is not known: ", sandbox->failure()));
  }
  context.PrintItem(*sandbox, [&](bool) {
    return end.exit ? StrCat(end.exit->exit_code(), "\n") : std::string();
  });
  return ReportEnd(context, typed, end);
}

// Does all of them even if one fails; the exit code is that of the first failure.
int ForEach(Context& context, const std::vector<std::string>& names,
            const std::function<Status(const std::string&)>& act) {
  int code = kExitOk;
  for (const std::string& typed : names) {
    const auto name = ResolveSandbox(context.client(), typed);
    const int result = context.Report(name.ok() ? act(*name) : name.status());
    if (code == kExitOk) code = result;
  }
  return code;
}

// Names one to a line, or the sandboxes as data.
void PrintDone(const Context& context, const std::vector<pb::Sandbox>& sandboxes) {
  if (context.format() == Format::kJson || context.format() == Format::kYaml) {
    context.PrintList(ToMessages(sandboxes), Table({}));
    return;
  }
  std::string names;
  for (const pb::Sandbox& sandbox : sandboxes) {
    names.append(EscapeControls(BareName(sandbox.name()))).append("\n");
  }
  context.Out(names);
}

int Stop(Context& context, const NamesOptions& options) {
  std::vector<pb::Sandbox> stopped;
  const int code = ForEach(context, options.names, [&](const std::string& name) -> Status {
    pb::StopSandboxRequest request;
    request.set_name(name);
    if (options.grace) {
      request.mutable_grace_period()->set_seconds(options.grace->count() / 1000);
      request.mutable_grace_period()->set_nanos(
          static_cast<int32_t>(options.grace->count() % 1000 * 1'000'000));
    }
    ASSIGN_OR_RETURN(stopped.emplace_back(), context.client().StopSandbox(std::move(request)));
    return absl::OkStatus();
  });
  PrintDone(context, stopped);
  return code;
}

struct Signal {
  std::string_view name;
  int number;
};
// As Linux numbers them, where the sandboxes run.
constexpr std::array<Signal, 15> kSignals = {{{"HUP", 1},
                                              {"INT", 2},
                                              {"QUIT", 3},
                                              {"ABRT", 6},
                                              {"KILL", 9},
                                              {"USR1", 10},
                                              {"SEGV", 11},
                                              {"USR2", 12},
                                              {"PIPE", 13},
                                              {"ALRM", 14},
                                              {"TERM", 15},
                                              {"CONT", 18},
                                              {"STOP", 19},
                                              {"TSTP", 20},
                                              {"WINCH", 28}}};
constexpr int64_t kLastSignal = 64;

// "TERM", "SIGTERM", "term" or "15"; 0: it is none.
int ParseSignal(std::string_view text) {
  int64_t number = 0;
  if (ParseInt(text, &number)) {
    return number >= 1 && number <= kLastSignal ? static_cast<int>(number) : 0;
  }
  std::string name(text);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (name.starts_with("SIG")) name.erase(0, 3);
  for (const Signal& signal : kSignals) {
    if (signal.name == name) return signal.number;
  }
  return 0;
}

std::string CheckSignal(const std::string& text) {
  if (ParseSignal(text) != 0) return "";
  return StrCat("'", text, "' is no signal; try TERM, KILL, HUP, USR1 or a number from 1 to 64");
}

int Kill(Context& context, const NamesOptions& options) {
  std::vector<pb::Sandbox> told;
  const int code = ForEach(context, options.names, [&](const std::string& name) -> Status {
    pb::SignalSandboxRequest request;
    request.set_name(name);
    request.set_signal(ParseSignal(options.signal));
    RETURN_IF_ERROR(context.client().SignalSandbox(std::move(request)));
    told.emplace_back().set_name(name);
    return absl::OkStatus();
  });
  PrintDone(context, told);
  return code;
}

int Remove(Context& context, const NamesOptions& options) {
  std::vector<pb::Sandbox> removed;
  const int code = ForEach(context, options.names, [&](const std::string& name) -> Status {
    pb::DeleteSandboxRequest request;
    request.set_name(name);
    request.set_force(options.force);
    RETURN_IF_ERROR(context.client().DeleteSandbox(std::move(request)));
    removed.emplace_back().set_name(name);
    return absl::OkStatus();
  });
  PrintDone(context, removed);
  return code;
}

}  // namespace

void AddLifecycleCommands(CLI::App& parent, Context& context) {
  const auto waited = std::make_shared<std::string>();
  CLI::App* wait =
      AddCommand(parent, "wait", "Wait until a sandbox's program has ended, print its exit code",
                 "clawctl node wait worker");
  wait->add_option("NAME", *waited, "Sandbox: id, start of an id, or name")->required();
  SetCodeAction(wait, context, [&context, waited] { return Wait(context, *waited); });

  const auto stopped = std::make_shared<NamesOptions>();
  CLI::App* stop = AddCommand(parent, "stop", "Stop sandboxes: SIGTERM, then SIGKILL",
                              "clawctl node stop worker --grace 30s");
  stop->add_option("NAME", stopped->names, "Sandboxes: id, start of an id, or name")->required();
  AddDuration(*stop, "--grace", stopped->grace, "Time between SIGTERM and SIGKILL, 0s to 1h",
              "10s");
  SetCodeAction(stop, context, [&context, stopped] { return Stop(context, *stopped); });

  const auto killed = std::make_shared<NamesOptions>();
  CLI::App* kill = AddCommand(parent, "kill", "Send a signal to the programs of sandboxes",
                              "clawctl node kill worker -s HUP");
  kill->add_option("NAME", killed->names, "Sandboxes: id, start of an id, or name")->required();
  kill->add_option("-s,--signal", killed->signal, "TERM, HUP, USR1, … or a number")
      ->type_name("SIGNAL")
      ->check(CheckSignal)
      ->capture_default_str();
  SetCodeAction(kill, context, [&context, killed] { return Kill(context, *killed); });

  const auto removed = std::make_shared<NamesOptions>();
  CLI::App* remove = AddCommand(parent, "rm", "Remove sandboxes with their logs and files",
                                "clawctl node rm worker 0a1b2c --force");
  remove->add_option("NAME", removed->names, "Sandboxes: id, start of an id, or name")->required();
  remove->add_flag("-f,--force", removed->force, "Kill what still runs");
  SetCodeAction(remove, context, [&context, removed] { return Remove(context, *removed); });
}

}  // namespace claw::ctl
