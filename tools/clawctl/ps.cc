#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/resolve.h"
#include "tools/clawctl/sandbox_view.h"

namespace claw::ctl {
namespace {

struct PsOptions {
  bool all = false;
  bool quiet = false;
  std::string tenant;
};

Status Ps(Context& context, const PsOptions& ps) {
  ASSIGN_OR_RETURN(
      const std::vector<pb::Sandbox> sandboxes,
      context.client().ListSandboxes(ps.tenant.empty() ? "" : TenantName(ps.tenant), !ps.all));
  if (ps.quiet) {
    std::string ids;
    for (const pb::Sandbox& sandbox : sandboxes) {
      ids.append(EscapeControls(BareName(sandbox.name()))).append("\n");
    }
    context.Out(ids);
    return absl::OkStatus();
  }
  context.PrintList(ToMessages(sandboxes), SandboxTable(context, sandboxes));
  return absl::OkStatus();
}

Status Inspect(Context& context, const std::string& typed) {
  ASSIGN_OR_RETURN(const std::string name, ResolveSandbox(context.client(), typed));
  ASSIGN_OR_RETURN(const pb::Sandbox sandbox, context.client().GetSandbox(name));
  // A whole record does not fit a row.
  if (!context.options.format) context.options.format = Format::kYaml;
  context.PrintItem(sandbox, [&](bool) { return DescribeSandbox(context, sandbox); });
  return absl::OkStatus();
}

}  // namespace

void AddPsCommands(CLI::App& parent, Context& context) {
  const auto ps = std::make_shared<PsOptions>();
  CLI::App* list = AddCommand(parent, "ps", "List sandboxes, the running ones unless -a",
                              "clawctl node ps -a --tenant acme -o wide");
  list->add_flag("-a,--all", ps->all, "Also those whose program has ended");
  list->add_option("--tenant", ps->tenant, "Only those of this tenant")->type_name("TENANT");
  list->add_flag("-q,--quiet", ps->quiet, "Print ids only");
  SetAction(list, context, [&context, ps] { return Ps(context, *ps); });

  const auto name = std::make_shared<std::string>();
  CLI::App* inspect =
      AddCommand(parent, "inspect", "Show everything about a sandbox (yaml unless -o)",
                 "clawctl node inspect worker -o json");
  inspect->add_option("NAME", *name, "Sandbox: id, start of an id, or name")->required();
  SetAction(inspect, context, [&context, name] { return Inspect(context, *name); });
}

}  // namespace claw::ctl
