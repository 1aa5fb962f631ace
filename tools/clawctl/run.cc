
#include "agent/base/joining_thread.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/program_io.h"
#include "tools/clawctl/progress.h"
#include "tools/clawctl/sandbox_options.h"
#include "tools/clawctl/sandbox_view.h"

namespace claw::ctl {
namespace {

struct RunOptions {
  std::shared_ptr<SandboxOptions> sandbox = std::make_shared<SandboxOptions>();
  bool detach = false;
  bool dry_run = false;
};

// Turns signals into StopSandbox: the first one asks, the second one kills, the third one gives up
// waiting.
class Stopper {
 public:
  Stopper(Context& context, ProgramStream& stream, std::string name)
      : context_(context), stream_(stream), name_(std::move(name)) {}

  void OnSignal() {
    ++signals_;
    if (signals_ > 2) {
      stream_.Cancel();
      context_.client().CancelCalls();
      return;
    }
    const bool force = signals_ == 2;
    if (force) context_.Notice("killing it");
    calls_.emplace_back([this, force] {
      pb::StopSandboxRequest request;
      request.set_name(name_);
      if (force) request.mutable_grace_period();
      const auto stopped = context_.client().StopSandbox(std::move(request));
      // Removed in the meantime (--rm) is as good as stopped, and cancelled is what the user asked
      // for.
      const StatusCode code = stopped.status().code();
      if (code == StatusCode::kNotFound || code == StatusCode::kCancelled) return;
      (void)context_.Report(stopped.status());
    });
  }

 private:
  Context& context_;
  ProgramStream& stream_;
  const std::string name_;
  int signals_ = 0;
  std::vector<JoiningThread> calls_;
};

StatusOr<pb::Sandbox> CreateShowing(Context& context, const pb::CreateSandboxRequest& request,
                                    bool quiet) {
  const VmProgress progress(context, quiet);
  return context.client().CreateSandbox(request);
}

// A signal that comes while CreateSandbox is under way waits for its answer, so that what has been
// started is also stopped.
int RunAttached(Context& context, const pb::CreateSandboxRequest& request) {
  auto signals = ProgramSignals();
  const auto created = signals.ok() ? CreateShowing(context, request, false)
                                    : StatusOr<pb::Sandbox>(signals.status());
  if (!created.ok()) {
    (void)context.Report(created.status());
    return kExitNotRun;
  }
  const auto stream = context.client().Attach(created->name());
  Stopper stopper(context, *stream, created->name());
  const ProgramEnd end = Connect(context, *stream, *signals,
                                 {.forward_input = request.spec().stdin_open(),
                                  .tty = request.spec().tty(),
                                  .on_signal = [&stopper](int) { stopper.OnSignal(); }});
  const std::string id(BareName(created->name()));
  const int code = ReportEnd(context, id, end);
  if (!end.exit) {
    context.Notice("if it still runs, `clawctl node logs -f " + id + "` goes on reading");
  }
  return code;
}

int Run(Context& context, const RunOptions& run) {
  const auto spec = BuildSpec(context, *run.sandbox);
  if (!spec.ok()) return context.Report(spec.status());
  pb::CreateSandboxRequest request;
  *request.mutable_spec() = *spec;
  request.set_validate_only(run.dry_run);
  if (!run.dry_run && !run.detach) return RunAttached(context, request);

  const auto sandbox = CreateShowing(context, request, run.dry_run);
  if (!sandbox.ok()) {
    (void)context.Report(sandbox.status());
    return kExitNotRun;
  }
  context.PrintItem(*sandbox, [&](bool) {
    return run.dry_run ? DescribeSandbox(context, *sandbox)
                       : StrCat(BareName(sandbox->name()), "\n");
  });
  return kExitOk;
}

}  // namespace

void AddRunCommand(CLI::App& parent, Context& context) {
  const auto run = std::make_shared<RunOptions>();
  CLI::App* command = AddCommand(
      parent, "run", "Run a program in a new sandbox",
      "clawctl node run --image busybox:1 --tenant acme --memory 64Mi --rm -- echo hello\n"
      "  clawctl node run --image agent:2 --tenant acme --name worker -d\n"
      "  clawctl node run --image busybox:1 --tenant acme -it --entrypoint /bin/sh\n"
      "  clawctl node run --image agent:2 --tenant acme --node-selector disk=ssd --exclusive -d");
  AddSandboxOptions(*command, context, run->sandbox);
  command->add_flag("-d,--detach", run->detach, "Start it, print its id and return");
  command->add_flag("--dry-run", run->dry_run, "Only say what would run");
  SetCodeAction(command, context, [&context, run] { return Run(context, *run); });
}

}  // namespace claw::ctl
