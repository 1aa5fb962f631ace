#include "tools/clawctl/sandbox_view.h"

#include <absl/strings/str_join.h>

#include "agent/base/bytes.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/network_view.h"
#include "tools/clawctl/node_view.h"

namespace claw::ctl {
namespace {

// "-" for what is not known.
std::string BytesOrDash(int64_t bytes) { return bytes > 0 ? FormatBytes(bytes) : "-"; }

std::string ExitLabel(const pb::Sandbox& sandbox) {
  return sandbox.has_exit() ? StrCat(sandbox.exit().exit_code()) : "-";
}

// Why it ended, or why it never ran.
std::string ReasonLabel(const pb::Sandbox& sandbox) {
  if (!sandbox.failure().empty()) return sandbox.failure();
  if (!sandbox.has_exit()) return "-";
  return EnumLabel(pb::EndReason_Name(sandbox.exit().reason()), "END_REASON_");
}

void AddDecision(const Context& context, const pb::IsolationDecision& decision, Fields& fields) {
  fields.Add("Rule", decision.rule());
  fields.Add("Decided from",
             StrCat("trust ", decision.trust(), ", node ", decision.node_class(), ", compat ",
                    decision.compat().empty() ? "-" : decision.compat(), ", signers ",
                    decision.signers().empty() ? "-" : absl::StrJoin(decision.signers(), ",")));
  if (decision.override_by().empty()) return;
  const auto left = std::chrono::seconds(decision.override_expire_time().seconds() -
                                         ToMicros(context.Now()) / 1'000'000);
  fields.Add("Override", StrCat("by ", decision.override_by(),
                                left.count() > 0 ? StrCat(", for another ", FormatAge(left))
                                                 : std::string(", which has expired")));
}

// Where it may run; nothing of a sandbox that goes anywhere.
void AddPlace(const pb::SandboxSpec& spec, Fields& fields) {
  if (!spec.node_selector().empty()) {
    fields.Add("Only where", LabelsText(spec.node_selector()));
  }
  if (!spec.tolerations().empty()) {
    fields.Add("Tolerates", absl::StrJoin(spec.tolerations(), ","));
  }
  if (!spec.avoid_tenants().empty()) {
    fields.Add("Avoids", absl::StrJoin(spec.avoid_tenants(), ",",
                                       [](std::string* out, const std::string& tenant) {
                                         out->append(BareName(tenant));
                                       }));
  }
  if (spec.exclusive()) fields.Add("Exclusive", "no other tenant beside it");
}

}  // namespace

int64_t ChargedBytes(const pb::Memory& memory) {
  const bool burstable = memory.request_bytes() > 0;
  return (burstable ? memory.request_bytes() : memory.workload_bytes()) + memory.overhead_bytes();
}

std::string StateLabel(const pb::Sandbox& sandbox) {
  return EnumLabel(pb::SandboxState_Name(sandbox.state()), "SANDBOX_STATE_");
}

std::string ClassLabel(const pb::Sandbox& sandbox) {
  return EnumLabel(pb::IsolationClass_Name(sandbox.isolation_class()), "ISOLATION_CLASS_");
}

Table SandboxTable(const Context& context, const std::vector<pb::Sandbox>& sandboxes) {
  Table table({{"ID"},
               {"NAME"},
               {"TENANT"},
               {"IMAGE"},
               {"CLASS"},
               {.title = "STATE", .state = true},
               {"EXIT"},
               {"MEMORY"},
               {.title = "OVERHEAD", .wide = true},
               {.title = "REQUEST", .wide = true},
               {.title = "CGROUP-MAX", .wide = true},
               {.title = "PEAK", .wide = true},
               {.title = "PID", .wide = true},
               {.title = "DRIVER", .wide = true},
               {.title = "TARGET", .wide = true},
               {.title = "ADDRESS", .wide = true},
               {.title = "EXPIRES-IN", .wide = true},
               {.title = "REASON", .wide = true},
               {.title = "DIGEST", .wide = true},
               {"AGE"}});
  for (const pb::Sandbox& sandbox : sandboxes) {
    const pb::Memory& memory = sandbox.resources().memory();
    table.Add(
        {ShortId(BareName(sandbox.name())),
         sandbox.spec().display_name(),
         std::string(BareName(sandbox.spec().tenant())),
         sandbox.spec().image(),
         ClassLabel(sandbox),
         StateLabel(sandbox),
         ExitLabel(sandbox),
         BytesOrDash(memory.workload_bytes()),
         BytesOrDash(memory.overhead_bytes()),
         BytesOrDash(memory.request_bytes()),
         BytesOrDash(memory.cgroup_max_bytes()),
         BytesOrDash(sandbox.exit().memory_peak_bytes()),
         sandbox.pid() > 0 ? StrCat(sandbox.pid()) : "-",
         sandbox.driver(),
         sandbox.target(),
         AddressText(sandbox.network(), ","),
         sandbox.has_lease_expire_time() ? TimeLeft(context, sandbox.lease_expire_time()) : "-",
         ReasonLabel(sandbox),
         ShortId(sandbox.image_digest()),
         context.AgeOf(sandbox.has_create_time(), sandbox.create_time())});
  }
  return table;
}

std::string DescribeSandbox(const Context& context, const pb::Sandbox& sandbox) {
  const pb::Memory& memory = sandbox.resources().memory();
  const int64_t cpu_millis = sandbox.resources().cpu_millis();
  Fields fields;
  fields.Add("Name", sandbox.spec().display_name());
  fields.Add("Tenant", std::string(BareName(sandbox.spec().tenant())));
  fields.Add("Image", StrCat(sandbox.spec().image(), " ", sandbox.image_digest()));
  fields.Add("Class", ClassLabel(sandbox));
  fields.Add("Because", sandbox.isolation_reason());
  if (sandbox.has_decision()) AddDecision(context, sandbox.decision(), fields);
  fields.Add("Driver", sandbox.driver());
  fields.Add("State", StateLabel(sandbox));
  if (sandbox.has_lease_expire_time()) {
    fields.Add("Held until",
               StrCat(FormatTime(ToTime(sandbox.lease_expire_time())), " (",
                      TimeLeft(context, sandbox.lease_expire_time()), "), or a commit"));
  }
  fields.Add("Memory", StrCat(FormatBytes(memory.workload_bytes()), " for the program + ",
                              FormatBytes(memory.overhead_bytes()), " for the runtime = ",
                              FormatBytes(memory.cgroup_max_bytes()), " enforced"));
  if (memory.request_bytes() > 0 && memory.request_bytes() < memory.workload_bytes()) {
    fields.Add("Burstable",
               StrCat(FormatBytes(memory.request_bytes()), " are set aside for it alone, priority ",
                      sandbox.spec().priority()));
  }
  fields.Add("CPUs",
             cpu_millis > 0 ? StrCat(static_cast<double>(cpu_millis) / 1000) : "no ceiling");
  fields.Add("Tasks", StrCat(sandbox.resources().pids_max(), " at most"));
  if (sandbox.has_network()) fields.Add("Network", NetworkText(sandbox.network()));
  for (const pb::PortMapping& port : sandbox.spec().network().ports()) {
    fields.Add("Port", PortText(port));
  }
  AddPlace(sandbox.spec(), fields);
  if (sandbox.has_create_time()) {
    fields.Add("Age", context.AgeOf(true, sandbox.create_time()));
  }
  return fields.Render();
}

}  // namespace claw::ctl
