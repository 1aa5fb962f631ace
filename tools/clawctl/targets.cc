#include <absl/strings/str_join.h>

#include "agent/base/bytes.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/node_view.h"

namespace claw::ctl {
namespace {

// "gvisor,runc", those that work.
std::string DriversText(const pb::Target& target) {
  std::vector<std::string> healthy;
  for (const pb::DriverStatus& driver : target.drivers()) {
    if (driver.healthy()) healthy.push_back(driver.name());
  }
  return absl::StrJoin(healthy, ",");
}

std::string ImagesText(const pb::Target& target) {
  return absl::StrJoin(target.images(), ",", [](std::string* out, const std::string& digest) {
    out->append(ShortId(digest));
  });
}

Table TargetTable(const Context& context, const std::vector<pb::Target>& targets) {
  Table table({{"NAME"},
               {"PLATFORM"},
               {"CLASS"},
               {.title = "RUNNING", .state = true},
               {"DRIVERS"},
               {"AVAILABLE"},
               {"ALLOCATABLE"},
               {"SANDBOXES"},
               {"CORDONED"},
               {.title = "EMULATED", .wide = true},
               {.title = "PAGE-SIZE", .wide = true},
               {.title = "LABELS", .wide = true},
               {.title = "TAINTS", .wide = true},
               {.title = "IMAGES", .wide = true}});
  for (const pb::Target& target : targets) {
    table.Add({target.name(), StrCat(target.os(), "/", target.architecture()), target.node_class(),
               target.running() ? "yes" : "no", DriversText(target),
               FormatBytes(target.memory().available_bytes()),
               FormatBytes(target.memory().allocatable_bytes()), StrCat(target.sandboxes()),
               CordonText(context, target.has_cordon(), target.cordon()),
               target.emulated() ? "yes" : "no", FormatBytes(target.page_size_bytes()),
               LabelsText(target.labels()), absl::StrJoin(target.taints(), ","),
               ImagesText(target)});
  }
  return table;
}

Status List(Context& context) {
  ASSIGN_OR_RETURN(const std::vector<pb::Target> targets, context.client().ListTargets());
  context.PrintList(ToMessages(targets), TargetTable(context, targets));
  return absl::OkStatus();
}

}  // namespace

void AddTargetsCommand(CLI::App& parent, Context& context) {
  CLI::App* command =
      AddCommand(parent, "targets", "List what can take a sandbox; with -o wide labels and taints",
                 "clawctl node targets -o wide");
  SetAction(command, context, [&context] { return List(context); });
}

}  // namespace claw::ctl
