#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"

namespace claw::ctl {
namespace {

std::string OutcomeLabel(const pb::NodeCheck& check) {
  return EnumLabel(pb::NodeCheck::Outcome_Name(check.outcome()), "OUTCOME_");
}

std::string Report(const Context& context, const pb::CheckNodeResponse& response, bool wide) {
  Table table({{"CHECK"},
               {.title = "OUTCOME", .state = true},
               {.title = "HARDENED-ONLY", .wide = true},
               {.title = "ASKED", .wide = true},
               {"EVIDENCE"},
               {"FIX"}});
  int passed = 0;
  int failed = 0;
  for (const pb::NodeCheck& check : response.checks()) {
    if (check.outcome() == pb::NodeCheck::PASSED) ++passed;
    if (check.outcome() == pb::NodeCheck::FAILED) ++failed;
    table.Add({check.id(), OutcomeLabel(check), check.for_hardened() ? "yes" : "no", check.title(),
               check.evidence(), check.fix()});
  }
  std::string verdict = StrCat("class ", response.node_class());
  if (response.node_class() == "hardened") {
    verdict += response.hardened() ? ", and it is" : ", but it is not: it takes no legacy work";
  }
  return StrCat(table.Render(wide, context.UsesColor()), "\n", passed, " passed, ",
                response.checks_size() - passed - failed, " warnings, ", failed, " failed; ",
                EscapeControls(verdict), "\n");
}

int Doctor(Context& context) {
  const auto response = context.client().CheckNode();
  if (!response.ok()) return context.Report(response.status());
  context.PrintItem(*response, [&](bool wide) { return Report(context, *response, wide); });
  for (const pb::NodeCheck& check : response->checks()) {
    if (check.outcome() == pb::NodeCheck::FAILED) return kExitFailed;
  }
  return kExitOk;
}

}  // namespace

void AddDoctorCommand(CLI::App& parent, Context& context) {
  CLI::App* doctor = AddCommand(
      parent, "doctor", "Check the node anew: what was found, and how to mend it",
      "clawctl node doctor -o wide\nExit code 1 if a check failed; warnings alone are 0.");
  SetCodeAction(doctor, context, [&context] { return Doctor(context); });
}

}  // namespace claw::ctl
