#include <absl/strings/str_join.h>
#include <google/protobuf/struct.pb.h>

#include "agent/base/bytes.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/node_view.h"
#include "tools/clawctl/version.h"

namespace claw::ctl {
namespace {

std::string MemoryLine(const pb::NodeMemory& memory) {
  return StrCat(FormatBytes(memory.available_bytes()), " available of ",
                FormatBytes(memory.allocatable_bytes()), " allocatable (",
                FormatBytes(memory.charged_bytes()), " charged; capacity ",
                FormatBytes(memory.capacity_bytes()), ", reserved ",
                FormatBytes(memory.reserved_bytes()), ")");
}

Table DriverTable(const pb::Node& node) {
  Table table({{"DRIVER"},
               {.title = "HEALTHY", .state = true},
               {"VERSION"},
               {"PLATFORM"},
               {.title = "PATH", .wide = true},
               {.title = "CAPABILITIES", .wide = true},
               {"MESSAGE"}});
  for (const pb::DriverStatus& driver : node.drivers()) {
    table.Add({driver.name(), driver.healthy() ? "yes" : "no", driver.runtime_version(),
               driver.platform(), driver.runtime_path(), absl::StrJoin(driver.capabilities(), ","),
               driver.message()});
  }
  return table;
}

std::string ClassLine(const pb::Node& node) {
  if (node.node_class() != "hardened") return node.node_class();
  return node.hardened() ? "hardened, all checks passed"
                         : "hardened by its config, but a check failed (see `clawctl node doctor`)";
}

std::string StatusText(const Context& context, const pb::Node& node, const std::string& vms,
                       bool wide) {
  Fields fields;
  fields.Add("Node", node.node_id());
  fields.Add("Ready", node.ready() ? "yes" : "no");
  for (const std::string& condition : node.conditions()) fields.Add("Condition", condition);
  fields.Add("Class", ClassLine(node));
  fields.Add("Cordoned", CordonText(context, node.has_cordon(), node.cordon()));
  fields.Add("Labels", LabelsText(node.labels()));
  fields.Add("Taints", absl::StrJoin(node.taints(), ","));
  fields.Add("Agent", StrCat(node.agent_version(), ", up ",
                             context.AgeOf(node.has_agent_start_time(), node.agent_start_time())));
  fields.Add("Machine",
             StrCat(node.os(), "/", node.architecture(), ", kernel ", node.kernel_version(), ", ",
                    node.cpus(), " CPUs, pages of ", FormatBytes(node.page_size_bytes())));
  fields.Add("Cgroups", node.cgroup_mode());
  fields.Add("Memory", MemoryLine(node.memory()));
  fields.Add("Sandboxes", StrCat(node.active_sandboxes(), " active of ", node.total_sandboxes()));
  if (!vms.empty()) fields.Add("VMs", vms);
  fields.Add("Tenants", StrCat(node.tenants()));
  fields.Add("Images", StrCat(node.images()));
  if (wide) {
    fields.Add("Boot", node.boot_id());
    fields.Add("Incarnation", node.incarnation_id());
    fields.Add("Revision", StrCat(node.revision()));
  }
  return fields.Render() + "\n" + DriverTable(node).Render(wide, context.UsesColor());
}

Status ShowStatus(Context& context) {
  ASSIGN_OR_RETURN(const pb::Node node, context.client().GetNode());
  context.PrintItem(node, [&](bool wide) {
    const auto vms = context.client().ListVms();
    return StatusText(context, node, vms.ok() ? VmsText(*vms) : "", wide);
  });
  return absl::OkStatus();
}

// The client's version is told even when there is no agent to ask.
Status ShowVersion(Context& context) {
  const auto node = context.client().GetNode();
  const std::string agent = node.ok() ? node->agent_version() : "";
  Fields fields;
  fields.Add("Client", std::string(kVersion));
  fields.Add("Agent", agent);
  google::protobuf::Struct versions;
  (*versions.mutable_fields())["client_version"].set_string_value(std::string(kVersion));
  (*versions.mutable_fields())["agent_version"].set_string_value(agent);
  context.PrintItem(versions, [&](bool) { return fields.Render(); });
  return node.status();
}

}  // namespace

void AddStatusCommands(CLI::App& parent, Context& context) {
  CLI::App* status =
      AddCommand(parent, "status", "Show the node: health, memory, runtimes and what runs",
                 "clawctl node status -o wide");
  SetAction(status, context, [&context] { return ShowStatus(context); });

  CLI::App* version = AddCommand(parent, "version", "Show the versions of clawctl and the agent",
                                 "clawctl node version");
  SetAction(version, context, [&context] { return ShowVersion(context); });
}

}  // namespace claw::ctl
