#pragma once

#include <functional>
#include <optional>

#include "agent/base/status.h"
#include "tools/clawctl/client.h"
#include "tools/clawctl/context.h"
#include "tools/clawctl/terminal.h"

namespace claw::ctl {

struct ProgramIo {
  bool forward_input = false;
  // The program has a terminal: tell it the size of ours.
  bool tty = false;
  // Called on the thread of Connect for each SIGINT, SIGTERM and SIGHUP.
  std::function<void(int signal)> on_signal;
};

struct ProgramEnd {
  // Of the stream. OK does not mean that the program ended well.
  Status status;
  // Absent if the stream ended before the program did.
  std::optional<pb::ExitStatus> exit;
};

// The signals that Connect needs; the reader must live before the first call to the agent.
StatusOr<SignalReader> ProgramSignals();

// Joins our standard streams with the program's until it ends. Output is written as it came.
ProgramEnd Connect(Context& context, ProgramStream& stream, SignalReader& signals,
                   const ProgramIo& io);

// The exit code for the shell, with a word on standard error where the code alone would mislead.
int ReportEnd(const Context& context, std::string_view name, const ProgramEnd& end);

}  // namespace claw::ctl
