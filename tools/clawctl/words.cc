#include "tools/clawctl/words.h"

#include "agent/base/words.h"

namespace claw::ctl {
namespace {

// What would mean something to a shell and is lost without one. Quotes are told apart only as far
// as that needs; whether they are closed is for the splitter to say.
Status CheckNeedsNoShell(std::string_view line) {
  char quote = 0;
  for (size_t at = 0; at < line.size(); ++at) {
    const char c = line[at];
    if (c == '\\' && quote != '\'') {
      ++at;  // the next one means nothing
    } else if (c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (quote != '\'' &&
               std::string_view(quote == 0 ? "$`|&;<>" : "$`").find(c) != std::string_view::npos) {
      return InvalidArgument(
          "'", std::string(1, c),
          "' means something to a shell only; write sh -c '…', or quote it: ", line);
    }
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::vector<std::string>> SplitCommand(std::string_view line) {
  RETURN_IF_ERROR(CheckNeedsNoShell(line));
  StatusOr<std::vector<std::string>> words = SplitWords(line);
  if (!words.ok()) return InvalidArgument(words.status().message(), " in: ", line);
  if (words->empty()) return InvalidArgument("the command is empty");
  return words;
}

}  // namespace claw::ctl
