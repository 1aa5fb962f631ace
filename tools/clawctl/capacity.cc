#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include <algorithm>

#include "agent/base/bytes.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/format.h"

namespace claw::ctl {
namespace {

// "trusted=60,untrusted=40", each at most once.
Status ParseMix(const std::string& text, pb::PlanCapacityRequest& request) {
  request.clear_trusted();
  request.clear_untrusted();
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  for (const std::string& part : parts) {
    const std::vector<std::string> words = absl::StrSplit(part, '=');
    double share = 0;
    const bool sane = words.size() == 2 && absl::SimpleAtod(words[1], &share) && share >= 0;
    if (!sane || (words[0] != "trusted" && words[0] != "untrusted")) {
      return InvalidArgument("'", part, "' is not trusted=SHARE or untrusted=SHARE");
    }
    const bool is_trusted = words[0] == "trusted";
    if ((is_trusted ? request.trusted() : request.untrusted()) != 0) {
      return InvalidArgument("'", words[0], "' is there twice");
    }
    is_trusted ? request.set_trusted(share) : request.set_untrusted(share);
  }
  return absl::OkStatus();
}

std::string Describe(const pb::CapacityPlan& plan) {
  Fields fields;
  fields.Add("Memory", FormatBytes(plan.capacity_bytes()));
  if (plan.kernel_bytes() > 0) {
    fields.Add("Guest's kernel", StrCat(FormatBytes(plan.kernel_bytes()), " (assumed)"));
  }
  fields.Add("Reserved", FormatBytes(plan.reserved_bytes()));
  fields.Add("For tenants", FormatBytes(plan.allocatable_bytes()));
  const std::string request =
      plan.memory_request_bytes() > 0
          ? StrCat(", ", FormatBytes(plan.memory_request_bytes()), " set aside")
          : "";
  fields.Add("Each sandbox", StrCat(FormatBytes(plan.workload_bytes()), request));
  return fields.Render();
}

std::string Show(const Context& context, const pb::CapacityPlan& plan, bool wide) {
  Table scenarios({{"EVERYTHING IN"},
                   {"SANDBOXES"},
                   {"TRUSTED"},
                   {"UNTRUSTED"},
                   {"WORKLOAD"},
                   {"TAX"},
                   {"LOST TO TAX"},
                   {"AT PRIOR"},
                   {"ALLOWED"}});
  for (const pb::CapacityScenario& one : plan.scenarios()) {
    scenarios.Add({one.name(), StrCat(one.sandboxes()), StrCat(one.trusted()),
                   StrCat(one.untrusted()), FormatBytes(one.workload_bytes()),
                   FormatBytes(one.overhead_bytes()), StrCat(one.sandboxes_lost()),
                   StrCat(one.sandboxes_at_prior()), one.allowed() ? "yes" : "no"});
  }
  Table classes({{"DRIVER"},
                 {.title = "VERSION", .wide = true},
                 {"TAX OF ONE"},
                 {"PRIOR"},
                 {"KNOWN FROM"},
                 {"WINDOWS"},
                 {"TRUST"},
                 {"CONFIDENCE"}});
  for (const pb::CapacityClass& one : plan.classes()) {
    classes.Add({one.driver(), one.runtime_version(), FormatBytes(one.overhead_bytes()),
                 FormatBytes(one.prior_bytes()), one.level().empty() ? "the prior" : one.level(),
                 StrCat(one.windows()), absl::StrFormat("%.2f", one.trust()), one.confidence()});
  }
  const bool color = context.UsesColor();
  return StrCat(Describe(plan), "\n", scenarios.Render(wide, color), "\n",
                classes.Render(wide, color));
}

Status Plan(Context& context, const pb::PlanCapacityRequest& request) {
  ASSIGN_OR_RETURN(const pb::CapacityPlan plan, context.client().PlanCapacity(request));
  context.PrintItem(plan, [&](bool wide) { return Show(context, plan, wide); });
  return absl::OkStatus();
}

}  // namespace

void AddCapacityCommand(CLI::App& parent, Context& context) {
  const auto request = std::make_shared<pb::PlanCapacityRequest>();
  request->set_trusted(1);
  request->set_untrusted(1);
  CLI::App* command = AddCommand(
      parent, "capacity",
      "Plan how many sandboxes a machine holds in containers, under gVisor and mixed",
      "clawctl node capacity --mix trusted=60,untrusted=40 --memory 256Mi\n"
      "  clawctl node capacity --mix untrusted=1 --memory 1Gi --memory-request 256Mi --vm 16Gi\n"
      "  clawctl node capacity --image agent:2 --host 64Gi -o json");
  command
      ->add_option_function<std::string>(
          "--mix",
          [request](const std::string& text) { ThrowIfError("--mix", ParseMix(text, *request)); },
          "Shares of trusted and untrusted sandboxes")
      ->type_name("trusted=N,untrusted=N")
      ->default_str("trusted=1,untrusted=1");
  AddBytes(
      *command, "--memory", [request](int64_t bytes) { request->set_workload_bytes(bytes); },
      "Workload of each sandbox")
      ->default_str("128Mi");
  AddBytes(
      *command, "--memory-request",
      [request](int64_t bytes) { request->set_memory_request_bytes(bytes); },
      "What of it is set aside, for burstable ones")
      ->default_str("all of --memory");
  command
      ->add_option("--image", *request->mutable_image(),
                   "Image whose measured overhead counts; unless given, one that nobody knows")
      ->type_name("IMAGE");
  CLI::Option* host = AddBytes(
      *command, "--host", [request](int64_t bytes) { request->set_capacity_bytes(bytes); },
      "Memory of the host; this node's unless given");
  CLI::Option* vm = AddBytes(
      *command, "--vm",
      [request](int64_t bytes) {
        request->set_capacity_bytes(bytes);
        request->set_vm(true);
      },
      "Memory of a guest, of which its own kernel takes a part");
  host->excludes(vm);
  SetAction(command, context, [&context, request] { return Plan(context, *request); });
}

}  // namespace claw::ctl
