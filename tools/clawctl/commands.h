#pragma once

// One function for each group of commands: it adds them under `parent`. What the user chose is left
// in Context::action. `context` outlives the App.

namespace CLI {
class App;
}

namespace claw::ctl {

class Context;

void AddStatusCommands(CLI::App& parent, Context& context);     // status, version
void AddTenantCommands(CLI::App& parent, Context& context);     // tenant add, set, ls, show, rm
void AddRunCommand(CLI::App& parent, Context& context);         // run
void AddExecCommand(CLI::App& parent, Context& context);        // exec
void AddPsCommands(CLI::App& parent, Context& context);         // ps, inspect
void AddLogsCommand(CLI::App& parent, Context& context);        // logs
void AddLifecycleCommands(CLI::App& parent, Context& context);  // wait, stop, rm
void AddImageCommands(CLI::App& parent, Context& context);      // image pull, import, ls, …
void AddEventsCommand(CLI::App& parent, Context& context);      // events
void AddCompatCommands(CLI::App& parent, Context& context);     // compat test, ls, show, …
void AddSuiteCommand(CLI::App& parent, Context& context);       // compat suite
void AddOverrideCommands(CLI::App& parent, Context& context);   // compat override add, ls, rm
void AddDoctorCommand(CLI::App& parent, Context& context);      // doctor
void AddBudgetCommands(CLI::App& parent, Context& context);     // budget show, explain
void AddCapacityCommand(CLI::App& parent, Context& context);
void AddExplainCommand(CLI::App& parent, Context& context);       // explain
void AddReservationCommands(CLI::App& parent, Context& context);  // reserve, commit, release, …
void AddNetworkCommands(CLI::App& parent, Context& context);      // network policy, set, show
void AddVmCommands(CLI::App& parent, Context& context);           // vm ls, create, start, …
void AddTargetsCommand(CLI::App& parent, Context& context);       // targets
void AddCordonCommands(CLI::App& parent, Context& context);       // cordon, uncordon
void AddWatchCommand(CLI::App& parent, Context& context);         // watch
void AddTopCommand(CLI::App& parent, Context& context);           // top
void AddCompletionCommand(CLI::App& parent, Context& context);    // completion
// The hidden command that the shells' scripts ask. `root` is the App of all commands.
void AddCompleteCommand(CLI::App& root, Context& context);

}  // namespace claw::ctl
