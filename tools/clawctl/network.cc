#include <memory>

#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/network_options.h"
#include "tools/clawctl/network_view.h"
#include "tools/clawctl/resolve.h"

namespace claw::ctl {
namespace {

struct SetPolicyOptions {
  std::string name;
  PolicyOptions policy;
  bool dry_run = false;
};

struct SetNetworkOptions {
  std::string sandbox;
  PolicyOptions policy;
  bool clear = false;
  bool deny_all = false;
};

std::string PolicyName(std::string_view typed) {
  return StrCat("networkPolicies/", StripPrefix(typed, "networkPolicies/"));
}

// The policy of that name as it is; absent if there is none.
StatusOr<std::optional<pb::NamedNetworkPolicy>> FindPolicy(Context& context,
                                                           const std::string& name) {
  auto found = context.client().GetNetworkPolicy(name);
  if (found.ok()) return *std::move(found);
  if (found.status().code() == StatusCode::kNotFound) return std::nullopt;
  return found.status();
}

std::string ChangeText(const std::optional<pb::NamedNetworkPolicy>& before,
                       const pb::NamedNetworkPolicy& after, bool dry_run) {
  const auto lines =
      PolicyChanges(before.value_or(pb::NamedNetworkPolicy{}).policy(), after.policy());
  std::string text = EscapeControls(BareName(after.name()));
  if (before && lines.empty()) return text + (dry_run ? " would stay as it is\n" : " as it was\n");
  text += before ? (dry_run ? " would be changed:\n" : " changed:\n")
                 : (dry_run ? " would be made:\n" : " made:\n");
  for (const std::string& line : lines) text += StrCat(EscapeControls(line), "\n");
  if (after.policy().egress().empty() && after.policy().ingress().empty() &&
      !after.policy().dns()) {
    text += "Nothing is allowed.\n";
  }
  if (!after.tenants().empty()) {
    text += StrCat(dry_run ? "It would be" : "It is", " in force for the sandboxes of ",
                   after.tenants_size(), after.tenants_size() == 1 ? " tenant.\n" : " tenants.\n");
  }
  return text;
}

Status SetPolicy(Context& context, const SetPolicyOptions& options) {
  pb::PutNetworkPolicyRequest request;
  const std::string name = PolicyName(options.name);
  request.mutable_policy()->set_name(name);
  ASSIGN_OR_RETURN(*request.mutable_policy()->mutable_policy(), BuildPolicy(options.policy));
  request.set_validate_only(options.dry_run);
  ASSIGN_OR_RETURN(const auto before, FindPolicy(context, name));
  ASSIGN_OR_RETURN(const pb::NamedNetworkPolicy after,
                   context.client().PutNetworkPolicy(std::move(request)));
  context.PrintItem(after, [&](bool) { return ChangeText(before, after, options.dry_run); });
  return absl::OkStatus();
}

Status ListPolicies(Context& context) {
  ASSIGN_OR_RETURN(const std::vector<pb::NamedNetworkPolicy> policies,
                   context.client().ListNetworkPolicies());
  context.PrintList(ToMessages(policies), PolicyTable(context, policies));
  return absl::OkStatus();
}

Status ShowPolicy(Context& context, const std::string& typed) {
  ASSIGN_OR_RETURN(const pb::NamedNetworkPolicy named,
                   context.client().GetNetworkPolicy(PolicyName(typed)));
  context.PrintItem(named, [&](bool) {
    Fields fields;
    fields.Add("Name", std::string(BareName(named.name())));
    AddPolicy(named.policy(), fields);
    std::vector<std::string> tenants;
    for (const std::string& tenant : named.tenants()) tenants.emplace_back(BareName(tenant));
    fields.Add("Tenants", JoinWords(tenants));
    fields.Add("Age", context.AgeOf(named.has_create_time(), named.create_time()));
    if (named.has_update_time()) {
      fields.Add("Changed", StrCat(context.AgeOf(true, named.update_time()), " ago"));
    }
    return fields.Render();
  });
  return absl::OkStatus();
}

Status RemovePolicy(Context& context, const std::string& typed) {
  pb::DeleteNetworkPolicyRequest request;
  request.set_name(PolicyName(typed));
  return context.client().DeleteNetworkPolicy(std::move(request));
}

Status SetNetwork(Context& context, const SetNetworkOptions& options) {
  const int ways =
      (options.clear ? 1 : 0) + (options.deny_all ? 1 : 0) + (options.policy.any() ? 1 : 0);
  if (ways != 1) {
    return UsageError(ways == 0 ? "nothing to set; see clawctl node network set --help"
                                : "--clear, --deny-all and rules are three different things");
  }
  pb::SetSandboxNetworkRequest request;
  ASSIGN_OR_RETURN(const pb::NetworkPolicy policy, BuildPolicy(options.policy));
  if (!options.clear) *request.mutable_policy() = policy;
  ASSIGN_OR_RETURN(*request.mutable_name(), ResolveSandbox(context.client(), options.sandbox));
  ASSIGN_OR_RETURN(const pb::SandboxNetwork network,
                   context.client().SetSandboxNetwork(std::move(request)));
  context.PrintItem(network, [&](bool wide) { return DescribeNetwork(context, network, wide); });
  return absl::OkStatus();
}

Status ShowNetwork(Context& context, const std::string& typed) {
  if (typed.empty()) {
    ASSIGN_OR_RETURN(const std::vector<pb::SandboxNetwork> networks,
                     context.client().ListSandboxNetworks());
    context.PrintList(ToMessages(networks), NetworkTable(networks));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string name, ResolveSandbox(context.client(), typed));
  ASSIGN_OR_RETURN(const pb::SandboxNetwork network, context.client().GetSandboxNetwork(name));
  context.PrintItem(network, [&](bool wide) { return DescribeNetwork(context, network, wide); });
  return absl::OkStatus();
}

void AddPolicyCommands(CLI::App& parent, Context& context) {
  CLI::App* group =
      AddGroup(parent, "policy", "Manage the policies that tenants refer to",
               "clawctl node network policy set web --allow-to api.example.com:443 --allow-dns\n"
               "  clawctl node tenant set acme --network-policy web");
  const auto options = std::make_shared<SetPolicyOptions>();
  CLI::App* set = AddCommand(
      *group, "set", "Make a policy, or replace all of it; prints what differs",
      StrCat("clawctl node network policy set web --allow-to api.example.com:443 --allow-dns\n"
             "  clawctl node network policy set db --allow-to 10.0.0.0/8:5432,6432 "
             "--allow-from tenant \\\n"
             "      --allow-to '[fd00::/8]:53/udp' --egress-rate 10Mi --dry-run\n"
             "In force for all sandboxes under it when the command ends. What is not named is not "
             "allowed,\n"
             "whatever the policy said before.\n\n",
             kRuleHelp));
  set->add_option("NAME", options->name, "1 to 63 of a-z, 0-9 and '-', starting with a letter")
      ->required();
  AddPolicyOptions(*set, options->policy);
  set->add_flag("--dry-run", options->dry_run, "Only say what would differ");
  SetAction(set, context, [&context, options] { return SetPolicy(context, *options); });

  CLI::App* list = AddCommand(*group, "ls", "List policies; with -o wide all of their rules",
                              "clawctl node network policy ls -o wide");
  SetAction(list, context, [&context] { return ListPolicies(context); });

  const auto name = std::make_shared<std::string>();
  CLI::App* show =
      AddCommand(*group, "show", "Show one policy", "clawctl node network policy show web");
  show->add_option("NAME", *name, "Policy")->required();
  SetAction(show, context, [&context, name] { return ShowPolicy(context, *name); });

  CLI::App* remove = AddCommand(*group, "rm", "Remove a policy that no tenant refers to",
                                "clawctl node network policy rm web");
  remove->add_option("NAME", *name, "Policy")->required();
  SetAction(remove, context, [&context, name] { return RemovePolicy(context, *name); });
}

}  // namespace

void AddNetworkCommands(CLI::App& parent, Context& context) {
  constexpr char kNameHelp[] = "Sandbox: id, start of an id, or name";
  CLI::App* group = AddGroup(
      parent, "network", "Say what sandboxes may do on the network, and show what they did",
      StrCat("clawctl node network policy set web --allow-to api.example.com:443 --allow-dns\n"
             "  clawctl node tenant set acme --network-policy web\n"
             "  clawctl node run --image app:1 --tenant acme --network bridge -p 8080:80\n"
             "  clawctl node network show app\n\n",
             kRuleHelp));
  AddPolicyCommands(*group, context);

  const auto options = std::make_shared<SetNetworkOptions>();
  CLI::App* set =
      AddCommand(*group, "set", "Replace a sandbox's own policy, which narrows its tenant's",
                 StrCat("clawctl node network set app --allow-to 10.0.0.0/8:5432 --connections 20\n"
                        "  clawctl node network set app --clear\n"
                        "What is to pass has to be allowed by the tenant's policy, too.\n\n",
                        kRuleHelp));
  set->add_option("SANDBOX", options->sandbox, kNameHelp)->required();
  AddPolicyOptions(*set, options->policy);
  set->add_flag("--clear", options->clear, "None of its own any more: the tenant's alone counts");
  set->add_flag("--deny-all", options->deny_all, "Nothing at all from now on");
  SetAction(set, context, [&context, options] { return SetNetwork(context, *options); });

  const auto shown = std::make_shared<std::string>();
  CLI::App* show = AddCommand(
      *group, "show", "Show how sandboxes are connected, under which policies, and what passed",
      "clawctl node network show\n  clawctl node network show app -o json");
  show->add_option("SANDBOX", *shown, StrCat(kNameHelp, "; all unless given"));
  SetAction(show, context, [&context, shown] { return ShowNetwork(context, *shown); });
}

}  // namespace claw::ctl
