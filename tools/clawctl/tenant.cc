#include <absl/strings/str_join.h>

#include <map>

#include "agent/base/bytes.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/resolve.h"
#include "tools/clawctl/sandbox_view.h"
#include "tools/clawctl/tenant_options.h"

namespace claw::ctl {
namespace {

std::string TrustLabel(pb::Trust trust) { return EnumLabel(pb::Trust_Name(trust), "TRUST_"); }

std::string CpuLabel(int64_t millis) { return StrCat(static_cast<double>(millis) / 1000); }

std::string LabelText(const pb::Tenant& tenant) {
  // The map itself has no order.
  const std::map<std::string, std::string> sorted(tenant.labels().begin(), tenant.labels().end());
  return absl::StrJoin(sorted, ",", absl::PairFormatter("="));
}

Table TenantTable(const Context& context, const std::vector<pb::Tenant>& tenants) {
  Table table({{"NAME"},
               {"TRUST"},
               {"SANDBOXES"},
               {.title = "MAX-SANDBOXES", .wide = true},
               {.title = "MAX-MEMORY", .wide = true},
               {.title = "MAX-CPUS", .wide = true},
               {.title = "LABELS", .wide = true},
               {.title = "ALLOWED-IMAGES", .wide = true},
               {.title = "NETWORK-POLICY", .wide = true},
               {.title = "CREATED", .wide = true},
               {"AGE"}});
  for (const pb::Tenant& tenant : tenants) {
    const pb::TenantQuota& quota = tenant.quota();
    table.Add({std::string(BareName(tenant.name())), TrustLabel(tenant.trust()),
               StrCat(tenant.sandbox_count()),
               quota.sandboxes() > 0 ? StrCat(quota.sandboxes()) : "",
               quota.workload_bytes() > 0 ? FormatBytes(quota.workload_bytes()) : "",
               quota.cpu_millis() > 0 ? CpuLabel(quota.cpu_millis()) : "", LabelText(tenant),
               absl::StrJoin(tenant.allowed_images(), ","), tenant.network_policy(),
               FormatTime(FromMicros(tenant.create_time().seconds() * 1'000'000)),
               context.AgeOf(tenant.has_create_time(), tenant.create_time())});
  }
  return table;
}

void PrintTenant(const Context& context, const pb::Tenant& tenant) {
  context.PrintItem(tenant, [&](bool wide) {
    return TenantTable(context, {tenant}).Render(wide, context.UsesColor());
  });
}

std::string DescribeTenant(const Context& context, const pb::Tenant& tenant) {
  const pb::TenantQuota& quota = tenant.quota();
  const auto of = [](std::string used, bool bounded, std::string most) {
    return bounded ? StrCat(used, most, " at most") : StrCat(used, "no bound");
  };
  Fields fields;
  fields.Add("Name", std::string(BareName(tenant.name())));
  fields.Add("Trust", TrustLabel(tenant.trust()));
  fields.Add("Sandboxes", of(StrCat(tenant.sandbox_count(), ", "), quota.sandboxes() > 0,
                             StrCat(quota.sandboxes())));
  fields.Add("Memory", of("", quota.workload_bytes() > 0, FormatBytes(quota.workload_bytes())));
  fields.Add("CPUs", of("", quota.cpu_millis() > 0, CpuLabel(quota.cpu_millis())));
  fields.Add("Labels", LabelText(tenant));
  fields.Add("Images", tenant.allowed_images().empty()
                           ? "any"
                           : absl::StrJoin(tenant.allowed_images(), ", "));
  fields.Add("Network", tenant.network_policy().empty() ? "the node's default policy"
                                                        : tenant.network_policy());
  fields.Add("Age", context.AgeOf(tenant.has_create_time(), tenant.create_time()));
  if (tenant.has_update_time()) {
    fields.Add("Changed", StrCat(context.AgeOf(true, tenant.update_time()), " ago"));
  }
  return fields.Render();
}

Status Add(Context& context, const std::string& name, const TenantOptions& options) {
  pb::Tenant tenant;
  google::protobuf::FieldMask unused;
  RETURN_IF_ERROR(ApplyTenantOptions(options, tenant, unused));
  pb::CreateTenantRequest request;
  request.set_tenant_id(std::string(StripPrefix(name, "tenants/")));
  // The weaker trust is what nobody has to think of.
  request.set_trust(options.trust ? tenant.trust() : pb::TRUST_UNTRUSTED);
  if (tenant.has_quota()) *request.mutable_quota() = tenant.quota();
  *request.mutable_labels() = tenant.labels();
  *request.mutable_allowed_images() = tenant.allowed_images();
  request.set_network_policy(tenant.network_policy());
  ASSIGN_OR_RETURN(const pb::Tenant made, context.client().CreateTenant(std::move(request)));
  PrintTenant(context, made);
  return absl::OkStatus();
}

// What a lowering of the trust would end: the tenant's containers on the host's kernel.
StatusOr<std::vector<pb::Sandbox>> KilledByLowering(Context& context, const std::string& tenant) {
  ASSIGN_OR_RETURN(std::vector<pb::Sandbox> sandboxes,
                   context.client().ListSandboxes(tenant, true));
  std::erase_if(sandboxes, [](const pb::Sandbox& sandbox) {
    return sandbox.isolation_class() != pb::ISOLATION_CLASS_CONTAINER;
  });
  return sandboxes;
}

// Says what `set` would do, and changes nothing.
Status PlanUpdate(Context& context, const pb::UpdateTenantRequest& request) {
  ASSIGN_OR_RETURN(const pb::Tenant old, context.client().GetTenant(request.tenant().name()));
  std::vector<pb::Sandbox> killed;
  const bool lowers =
      old.trust() == pb::TRUST_TRUSTED && request.tenant().trust() == pb::TRUST_UNTRUSTED;
  if (lowers) {
    ASSIGN_OR_RETURN(killed, KilledByLowering(context, old.name()));
  }
  const Table table = SandboxTable(context, killed);
  if (context.format() == Format::kJson || context.format() == Format::kYaml) {
    context.PrintList(ToMessages(killed), table);
    return absl::OkStatus();
  }
  context.Out(StrCat("would change ", absl::StrJoin(request.update_mask().paths(), ", "), " of ",
                     EscapeControls(BareName(old.name())), "\n"));
  if (!lowers) return absl::OkStatus();
  if (killed.empty()) {
    context.Out("would kill nothing: it runs no plain container\n");
    return absl::OkStatus();
  }
  context.Out("would kill, since they run on the host's kernel:\n");
  context.PrintList({}, table);
  return absl::OkStatus();
}

Status Set(Context& context, const std::string& name, const TenantOptions& options, bool dry_run) {
  pb::UpdateTenantRequest request;
  request.mutable_tenant()->set_name(TenantName(name));
  RETURN_IF_ERROR(
      ApplyTenantOptions(options, *request.mutable_tenant(), *request.mutable_update_mask()));
  if (request.update_mask().paths().empty()) {
    return UsageError("nothing to change; see clawctl node tenant set --help");
  }
  if (dry_run) return PlanUpdate(context, request);
  ASSIGN_OR_RETURN(const pb::Tenant tenant, context.client().UpdateTenant(std::move(request)));
  PrintTenant(context, tenant);
  return absl::OkStatus();
}

Status List(Context& context) {
  ASSIGN_OR_RETURN(const std::vector<pb::Tenant> tenants, context.client().ListTenants());
  context.PrintList(ToMessages(tenants), TenantTable(context, tenants));
  return absl::OkStatus();
}

Status Show(Context& context, const std::string& name) {
  ASSIGN_OR_RETURN(const pb::Tenant tenant, context.client().GetTenant(TenantName(name)));
  context.PrintItem(tenant, [&](bool) { return DescribeTenant(context, tenant); });
  return absl::OkStatus();
}

Status Remove(Context& context, const std::string& name) {
  pb::DeleteTenantRequest request;
  request.set_name(TenantName(name));
  return context.client().DeleteTenant(std::move(request));
}

void AddChangeCommands(CLI::App& group, Context& context) {
  const auto name = std::make_shared<std::string>();
  const auto added = std::make_shared<TenantOptions>();
  CLI::App* add =
      AddCommand(group, "add", "Make a tenant; the same again changes nothing",
                 "clawctl node tenant add acme --max-sandboxes 20 --max-memory 8Gi\n"
                 "  clawctl node tenant add lab --trust trusted --allow-image signer:release\n"
                 "It is untrusted unless --trust says otherwise.");
  add->add_option("NAME", *name, "1 to 63 of a-z, 0-9 and '-', starting with a letter")->required();
  AddTenantOptions(*add, *added, false);
  SetAction(add, context, [&context, name, added] { return Add(context, *name, *added); });

  const auto changed = std::make_shared<TenantOptions>();
  const auto dry_run = std::make_shared<bool>(false);
  CLI::App* set = AddCommand(
      group, "set", "Change a tenant; what is not named stays as it is",
      "clawctl node tenant set acme --max-memory 16Gi --label team=search\n"
      "  clawctl node tenant set acme --trust untrusted --dry-run\n"
      "Lowering the trust kills the tenant's plain containers at once, without a question;\n"
      "--dry-run lists them. Labels and images that are given replace all there were.");
  set->add_option("NAME", *name, "Tenant")->required();
  AddTenantOptions(*set, *changed, true);
  set->add_flag("--dry-run", *dry_run, "Only say what would change, and what would be killed");
  SetAction(set, context,
            [&context, name, changed, dry_run] { return Set(context, *name, *changed, *dry_run); });
}

}  // namespace

void AddTenantCommands(CLI::App& parent, Context& context) {
  CLI::App* group = AddGroup(parent, "tenant", "Manage tenants: on whose behalf sandboxes run",
                             "clawctl node tenant add acme");
  AddChangeCommands(*group, context);

  CLI::App* list = AddCommand(*group, "ls", "List tenants", "clawctl node tenant ls -o json");
  SetAction(list, context, [&context] { return List(context); });

  const auto name = std::make_shared<std::string>();
  CLI::App* show = AddCommand(*group, "show", "Show one tenant", "clawctl node tenant show acme");
  show->add_option("NAME", *name, "Tenant")->required();
  SetAction(show, context, [&context, name] { return Show(context, *name); });

  CLI::App* remove = AddCommand(*group, "rm", "Remove a tenant that has no sandboxes left",
                                "clawctl node tenant rm acme");
  remove->add_option("NAME", *name, "Tenant")->required();
  SetAction(remove, context, [&context, name] { return Remove(context, *name); });
}

}  // namespace claw::ctl
