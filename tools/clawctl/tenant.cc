
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/resolve.h"

namespace claw::ctl {
namespace {

Table TenantTable(const Context& context, const std::vector<pb::Tenant>& tenants) {
  Table table({{"NAME"}, {"TRUST"}, {"SANDBOXES"}, {.title = "CREATED", .wide = true}, {"AGE"}});
  for (const pb::Tenant& tenant : tenants) {
    table.Add({std::string(BareName(tenant.name())),
               EnumLabel(pb::Trust_Name(tenant.trust()), "TRUST_"), StrCat(tenant.sandbox_count()),
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

Status Add(Context& context, const std::string& name, const std::string& trust) {
  pb::CreateTenantRequest request;
  request.set_tenant_id(std::string(StripPrefix(name, "tenants/")));
  request.set_trust(trust == "trusted" ? pb::TRUST_TRUSTED : pb::TRUST_UNTRUSTED);
  ASSIGN_OR_RETURN(const pb::Tenant tenant, context.client().CreateTenant(std::move(request)));
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
  PrintTenant(context, tenant);
  return absl::OkStatus();
}

Status Remove(Context& context, const std::string& name) {
  pb::DeleteTenantRequest request;
  request.set_name(TenantName(name));
  return context.client().DeleteTenant(std::move(request));
}

}  // namespace

void AddTenantCommands(CLI::App& parent, Context& context) {
  CLI::App* group = AddGroup(parent, "tenant", "Manage tenants: on whose behalf sandboxes run",
                             "clawctl node tenant add acme");
  const auto name = std::make_shared<std::string>();
  const auto trust = std::make_shared<std::string>("untrusted");

  CLI::App* add = AddCommand(*group, "add", "Make a tenant; the same again changes nothing",
                             "clawctl node tenant add acme --trust untrusted");
  add->add_option("NAME", *name, "1 to 63 of a-z, 0-9 and '-', starting with a letter")->required();
  add->add_option(
         "--trust", *trust,
         "How far its code is trusted: untrusted code runs under gVisor, trusted code in a "
         "plain container")
      ->type_name("trusted|untrusted")
      ->check(CLI::IsMember({"trusted", "untrusted"}).description(""))
      ->capture_default_str();
  SetAction(add, context, [&context, name, trust] { return Add(context, *name, *trust); });

  CLI::App* list = AddCommand(*group, "ls", "List tenants", "clawctl node tenant ls -o json");
  SetAction(list, context, [&context] { return List(context); });

  CLI::App* show = AddCommand(*group, "show", "Show one tenant", "clawctl node tenant show acme");
  show->add_option("NAME", *name, "Tenant")->required();
  SetAction(show, context, [&context, name] { return Show(context, *name); });

  CLI::App* remove = AddCommand(*group, "rm", "Remove a tenant that has no sandboxes left",
                                "clawctl node tenant rm acme");
  remove->add_option("NAME", *name, "Tenant")->required();
  SetAction(remove, context, [&context, name] { return Remove(context, *name); });
}

}  // namespace claw::ctl
