#include <absl/strings/str_format.h>

#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/format.h"

namespace claw::ctl {
namespace {

struct EventsOptions {
  bool follow = false;
  std::string subject;
  int64_t since_revision = 0;
};

std::string TimeOf(const pb::Event& event) { return FormatTime(ToTime(event.time())); }

Table EventTable(const std::vector<pb::Event>& events) {
  Table table({{"REVISION"},
               {"TIME"},
               {"TYPE"},
               {"SUBJECT"},
               {.title = "TENANT", .wide = true},
               {.title = "ACTOR", .wide = true},
               {"MESSAGE"}});
  for (const pb::Event& event : events) {
    table.Add({StrCat(event.revision()), TimeOf(event), event.type(), event.subject(),
               std::string(BareName(event.tenant())), event.actor(), event.message()});
  }
  return table;
}

// A stream has no widths to align by, so columns get one that fits most of them; json comes a line
// each.
std::string StreamLine(const Context& context, const pb::Event& event) {
  switch (context.format()) {
    case Format::kJson:
      return RenderJsonLine(event, context.OutIsTerminal());
    case Format::kYaml:
      return "---\n" + RenderYaml(event);
    case Format::kWide:
      return absl::StrFormat("%-8d  %s  %-20s  %-28s  %-16s  %-14s  %s\n", event.revision(),
                             TimeOf(event), EscapeControls(event.type()),
                             EscapeControls(event.subject()),
                             EscapeControls(BareName(event.tenant())),
                             EscapeControls(event.actor()), EscapeControls(event.message()));
    case Format::kTable:
      break;
  }
  return absl::StrFormat("%-8d  %s  %-20s  %-28s  %s\n", event.revision(), TimeOf(event),
                         EscapeControls(event.type()), EscapeControls(event.subject()),
                         EscapeControls(event.message()));
}

Status Events(Context& context, const EventsOptions& options) {
  if (options.follow) {
    pb::WatchEventsRequest request;
    request.set_resume_revision(options.since_revision);
    request.set_subject(options.subject);
    return context.client().WatchEvents(
        request, [&](const pb::Event& event) { context.Out(StreamLine(context, event)); });
  }
  ASSIGN_OR_RETURN(const std::vector<pb::Event> events,
                   context.client().ListEvents(options.subject, options.since_revision));
  context.PrintList(ToMessages(events), EventTable(events));
  return absl::OkStatus();
}

}  // namespace

void AddEventsCommand(CLI::App& parent, Context& context) {
  const auto options = std::make_shared<EventsOptions>();
  CLI::App* command = AddCommand(parent, "events", "Show what happened on the node",
                                 "clawctl node events -f --subject tenants/acme\n"
                                 "  clawctl node events --since-revision 120 -o json");
  command->add_flag("-f,--follow", options->follow, "Go on with each new event");
  command
      ->add_option("--subject", options->subject,
                   "Only about this: sandboxes/ID, tenants/NAME, images/sha256:… or node")
      ->type_name("NAME");
  command
      ->add_option("--since-revision", options->since_revision,
                   "Only events after this revision; with -f, -1 means only new ones")
      ->type_name("N")
      ->capture_default_str();
  SetAction(command, context, [&context, options] { return Events(context, *options); });
}

}  // namespace claw::ctl
