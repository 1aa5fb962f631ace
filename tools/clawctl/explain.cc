#include <absl/strings/str_format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <optional>

#include "agent/base/bytes.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/sandbox_options.h"
#include "tools/clawctl/sandbox_view.h"

namespace claw::ctl {
namespace {

using google::protobuf::util::TimeUtil;
using std::chrono::microseconds;

// A script tells it apart from every failure to find out, and from the verdicts of `compat test`
// (10 and 11).
constexpr int kExitNoTarget = 12;

std::string Share(double value) { return absl::StrFormat("%.2f", value); }

microseconds RetryAfter(const pb::Constraint& constraint) {
  return microseconds(TimeUtil::DurationToMicroseconds(constraint.retry_after()));
}

std::string RetryLabel(const pb::Constraint& constraint) {
  if (constraint.met()) return "-";
  return constraint.has_retry_after() ? StrCat("after ", FormatSpan(RetryAfter(constraint)))
                                      : "never by itself";
}

Table TargetTable(const pb::ExplainResponse& response) {
  Table table({{"TARGET"},
               {.title = "FITS", .state = true},
               {"SCORE"},
               {"FIT"},
               {"IMAGE"},
               {"SPREAD"},
               {"NATIVE"},
               {"WARM"},
               {"CLASS"},
               {"CHARGE"},
               {.title = "WORKLOAD", .wide = true},
               {.title = "OVERHEAD", .wide = true},
               {.title = "DRIVER", .wide = true},
               {.title = "DIGEST", .wide = true}});
  for (const pb::Explanation& one : response.targets()) {
    const pb::Score& score = one.score();
    const bool has_memory = one.has_memory();
    table.Add({one.target(), one.fits() ? "yes" : "no", Share(score.total()), Share(score.fit()),
               Share(score.image()), Share(score.spread()), Share(score.native()),
               Share(score.warm()),
               EnumLabel(pb::IsolationClass_Name(one.isolation_class()), "ISOLATION_CLASS_"),
               has_memory ? FormatBytes(ChargedBytes(one.memory())) : "-",
               has_memory ? FormatBytes(one.memory().workload_bytes()) : "-",
               has_memory ? FormatBytes(one.memory().overhead_bytes()) : "-", one.driver(),
               ShortId(one.image_digest())});
  }
  return table;
}

Table ConstraintTable(const pb::Explanation& explanation) {
  Table table({{"CONSTRAINT"},
               {.title = "MET", .state = true},
               {"NEEDED"},
               {"AVAILABLE"},
               {"RETRY"},
               {.title = "REASON", .wide = true},
               {"PROBLEM"}});
  for (const pb::Constraint& one : explanation.constraints()) {
    table.Add({one.name(), one.met() ? "yes" : "no", one.needed(), one.available(), RetryLabel(one),
               one.reason(), one.problem()});
  }
  return table;
}

bool Fits(const pb::ExplainResponse& response) {
  return std::any_of(response.targets().begin(), response.targets().end(),
                     [](const pb::Explanation& one) { return one.fits(); });
}

// How long until the target may fit without anybody's doing; absent: it will not.
std::optional<microseconds> WaitFor(const pb::Explanation& target) {
  microseconds longest{0};
  for (const pb::Constraint& one : target.constraints()) {
    if (one.met()) continue;
    if (!one.has_retry_after()) return std::nullopt;
    longest = std::max(longest, RetryAfter(one));
  }
  return longest;
}

std::string Conclusion(const pb::ExplainResponse& response) {
  if (Fits(response)) {
    return "It fits: `clawctl node run` starts it, `clawctl node reserve` holds the place.\n";
  }
  std::optional<microseconds> shortest;
  for (const pb::Explanation& target : response.targets()) {
    const auto wait = WaitFor(target);
    if (wait) shortest = std::min(shortest.value_or(*wait), *wait);
  }
  if (!shortest) return "No target fits, and waiting alone will not change that.\n";
  return StrCat("No target fits now. Ask again after ", FormatSpan(*shortest),
                ": it may by then.\n");
}

std::string Show(const Context& context, const pb::ExplainResponse& response, bool wide) {
  const bool color = context.UsesColor();
  std::string text = TargetTable(response).Render(wide, color);
  for (const pb::Explanation& one : response.targets()) {
    text +=
        StrCat("\n", EscapeControls(one.target()), ":\n", ConstraintTable(one).Render(wide, color));
  }
  return StrCat(text, "\n", Conclusion(response));
}

int Explain(Context& context, const SandboxOptions& options, int32_t max_targets) {
  const auto spec = BuildSpec(context, options);
  if (!spec.ok()) return context.Report(spec.status());
  pb::ExplainRequest request;
  *request.mutable_spec() = *spec;
  request.set_max_targets(max_targets);
  const auto response = context.client().Explain(request);
  if (!response.ok()) return context.Report(response.status());
  context.PrintItem(*response, [&](bool wide) { return Show(context, *response, wide); });
  return Fits(*response) ? kExitOk : kExitNoTarget;
}

}  // namespace

void AddExplainCommand(CLI::App& parent, Context& context) {
  const auto options = std::make_shared<SandboxOptions>();
  const auto max_targets = std::make_shared<int32_t>(0);
  CLI::App* command = AddCommand(
      parent, "explain", "Show whether a sandbox would fit, and what stands in its way",
      "clawctl node explain --image busybox:1 --tenant acme --memory 64Gi\n"
      "  clawctl node explain --image agent:2 --tenant acme --node-selector disk=ssd -o json\n"
      "It takes the options of `run`, and changes nothing.\n"
      "Exit codes: 0 some target fits   12 none does; if it could not be found out, as elsewhere,\n"
      "  with the reason on standard error");
  AddSandboxOptions(*command, context, options);
  command
      ->add_option("--max-targets", *max_targets,
                   "Show at most so many, those that fit first, then by score; 0 for all")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber.description(""));
  SetCodeAction(command, context, [&context, options, max_targets] {
    return Explain(context, *options, *max_targets);
  });
}

}  // namespace claw::ctl
