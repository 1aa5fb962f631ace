
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/program_io.h"
#include "tools/clawctl/resolve.h"

namespace claw::ctl {
namespace {

struct ExecOptions {
  pb::ExecSpec spec;
  std::string name;
  std::vector<std::string> env;
};

int Exec(Context& context, ExecOptions& exec) {
  const auto program = RequireProgram(context, "clawctl node exec NAME -- CMD [ARGS...]");
  if (!program.ok()) return context.Report(program.status());
  auto signals = ProgramSignals();
  const auto name = signals.ok() ? ResolveSandbox(context.client(), exec.name) : signals.status();
  if (!name.ok()) {
    (void)context.Report(name.status());
    return kExitNotRun;
  }
  exec.spec.set_name(*name);
  exec.spec.mutable_command()->Assign(program->begin(), program->end());
  exec.spec.mutable_env()->Assign(exec.env.begin(), exec.env.end());
  const auto stream = context.client().Exec(exec.spec);
  int ended_by = 0;
  const ProgramEnd end = Connect(context, *stream, *signals,
                                 {.forward_input = exec.spec.stdin_open(),
                                  .tty = exec.spec.tty(),
                                  // The agent ends the program when its caller goes away.
                                  .on_signal = [&](int signal) {
                                    ended_by = signal;
                                    stream->Cancel();
                                  }});
  if (ended_by != 0 && !end.exit) return 128 + ended_by;
  return ReportEnd(context, exec.name, end);
}

}  // namespace

void AddExecCommand(CLI::App& parent, Context& context) {
  const auto exec = std::make_shared<ExecOptions>();
  CLI::App* command = AddCommand(parent, "exec", "Run one more program in a running sandbox",
                                 "clawctl node exec worker -- ps aux\n"
                                 "  clawctl node exec -it worker -- /bin/sh");
  command->add_option("NAME", exec->name, "Sandbox: id, start of an id, or name")->required();
  command->add_flag_callback(
      "-i,--interactive", [exec] { exec->spec.set_stdin_open(true); },
      "Pass standard input on to it");
  command->add_flag_callback(
      "-t,--tty", [exec] { exec->spec.set_tty(true); }, "Give it a terminal");
  AddRepeated(*command, "--env,-e", exec->env, "Environment variable; may be given many times")
      ->type_name("NAME=VALUE");
  command
      ->add_option("--workdir,-w", *exec->spec.mutable_working_directory(),
                   "Working directory; the image's unless given")
      ->type_name("DIR");
  SetCodeAction(command, context, [&context, exec] { return Exec(context, *exec); });
  command->parse_complete_callback([&context] { context.takes_program = true; });
}

}  // namespace claw::ctl
