#include "tools/clawctl/node_view.h"

#include <absl/strings/str_join.h>

#include <map>

#include "tools/clawctl/format.h"

namespace claw::ctl {

std::string LabelsText(const google::protobuf::Map<std::string, std::string>& labels) {
  // Protobuf's maps have no order.
  const std::map<std::string, std::string> sorted(labels.begin(), labels.end());
  return absl::StrJoin(sorted, ",", absl::PairFormatter("="));
}

std::string CordonText(const Context& context, bool has_cordon, const pb::Cordon& cordon) {
  if (!has_cordon) return "no";
  const std::string why = cordon.reason().empty() ? "" : StrCat(": ", cordon.reason());
  return StrCat("by ", cordon.cordoned_by(), ", ",
                context.AgeOf(cordon.has_cordon_time(), cordon.cordon_time()), " ago", why);
}

std::string TimeLeft(const Context& context, const google::protobuf::Timestamp& time) {
  const auto left = std::chrono::seconds(time.seconds() - ToMicros(context.Now()) / 1'000'000);
  return left.count() > 0 ? FormatAge(left) : "expired";
}

}  // namespace claw::ctl
