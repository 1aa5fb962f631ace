#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/util/time_util.h>

#include <optional>

#include "agent/base/bytes.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/node_view.h"

namespace claw::ctl {
namespace {

using google::protobuf::util::TimeUtil;

struct WatchOptions {
  int64_t since_revision = 0;
  std::optional<std::chrono::milliseconds> interval;
};

// As with events a stream has no widths to align by. Labels and taints change with the config only;
// `status` has them.
std::string Line(const Context& context, const pb::NodeChange& change) {
  switch (context.format()) {
    case Format::kJson:
      return RenderJsonLine(change, context.OutIsTerminal());
    case Format::kYaml:
      return "---\n" + RenderYaml(change);
    case Format::kTable:
    case Format::kWide:
      break;
  }
  const pb::Node& node = change.node();
  std::string memory = StrCat(FormatBytes(node.memory().charged_bytes()), " of ",
                              FormatBytes(node.memory().allocatable_bytes()));
  std::string conditions = absl::StrJoin(node.conditions(), "; ");
  if (conditions.empty()) conditions = "-";
  std::string line =
      absl::StrFormat("%s  %-9s  %-22s charged  %4d sandboxes  %s\n", FormatTime(context.Now()),
                      node.ready() ? "ready" : "not ready", memory, node.active_sandboxes(),
                      EscapeControls(conditions));
  if (context.format() == Format::kTable) return line;
  return absl::StrFormat("%-8d  %s", change.revision(), line);
}

Status Watch(Context& context, const WatchOptions& options) {
  pb::WatchNodeRequest request;
  request.set_resume_revision(options.since_revision);
  if (options.interval) {
    *request.mutable_min_interval() = TimeUtil::MillisecondsToDuration(options.interval->count());
  }
  return context.client().WatchNode(
      request, [&](const pb::NodeChange& change) { context.Out(Line(context, change)); });
}

}  // namespace

void AddWatchCommand(CLI::App& parent, Context& context) {
  const auto options = std::make_shared<WatchOptions>();
  CLI::App* command = AddCommand(
      parent, "watch", "Print the node's state, and again with each change, until Ctrl-C",
      "clawctl node watch\n"
      "  clawctl node watch --interval 5s -o json | jq -r .node.memory.charged_bytes\n"
      "Lines: time, ready, memory charged of what is allocatable, active sandboxes, conditions;\n"
      "  with -o wide the revision first, with -o json one object a line. It ends when the\n"
      "  agent does; with --since-revision and the last revision it goes on from there.");
  command
      ->add_option("--since-revision", options->since_revision,
                   "Nothing until something has changed since this revision; 0 begins with the "
                   "node as it is")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber.description(""));
  AddDuration(*command, "--interval", options->interval,
              "Least time between two lines, 50ms to 1m; changes in between become one", "200ms");
  SetAction(command, context, [&context, options] { return Watch(context, *options); });
}

}  // namespace claw::ctl
