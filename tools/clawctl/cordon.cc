#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/node_view.h"

namespace claw::ctl {
namespace {

void Print(const Context& context, const pb::Node& node) {
  context.PrintItem(node, [&](bool) {
    Fields fields;
    fields.Add("Node", node.node_id());
    fields.Add("Cordoned", CordonText(context, node.has_cordon(), node.cordon()));
    return fields.Render();
  });
}

Status Cordon(Context& context, const std::string& reason) {
  pb::CordonNodeRequest request;
  request.set_reason(reason);
  ASSIGN_OR_RETURN(const pb::Node node, context.client().CordonNode(std::move(request)));
  Print(context, node);
  return absl::OkStatus();
}

Status Uncordon(Context& context) {
  ASSIGN_OR_RETURN(const pb::Node node, context.client().UncordonNode());
  Print(context, node);
  return absl::OkStatus();
}

}  // namespace

void AddCordonCommands(CLI::App& parent, Context& context) {
  const auto reason = std::make_shared<std::string>();
  CLI::App* cordon = AddCommand(
      parent, "cordon", "Take nothing new from now on, over restarts, too; what runs goes on",
      "clawctl node cordon --reason 'new disks on Tuesday'\n"
      "Cordoned already: the new reason replaces the old one.");
  cordon->add_option("--reason", *reason, "Why, for whoever wonders; at most 512 bytes")
      ->type_name("TEXT");
  SetAction(cordon, context, [&context, reason] { return Cordon(context, *reason); });

  CLI::App* uncordon =
      AddCommand(parent, "uncordon", "Take new work again", "clawctl node uncordon");
  SetAction(uncordon, context, [&context] { return Uncordon(context); });
}

}  // namespace claw::ctl
