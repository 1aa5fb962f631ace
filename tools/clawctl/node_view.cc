#include "tools/clawctl/node_view.h"

#include <absl/strings/str_join.h>

#include <map>

#include "agent/base/bytes.h"
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

std::string VmsText(const pb::ListVmsResponse& vms) {
  if (vms.vms().empty()) return "";
  int running = 0;
  int64_t charged = 0;
  std::string guests;
  for (const pb::Vm& vm : vms.vms()) {
    charged += vm.charged_bytes();
    if (vm.state() != pb::VM_STATE_RUNNING) continue;
    ++running;
    const bool calm = vm.has_guest() && vm.guest().pressure() == "calm";
    if (calm) continue;
    guests += StrCat(guests.empty() ? "; " : ", ", BareName(vm.name()),
                     vm.has_guest() ? StrCat(" under pressure (", vm.guest().pressure(), ")")
                                    : std::string(" does not answer"));
  }
  if (guests.empty() && running > 0) guests = "; guests are calm";
  return StrCat(running, " running of ", vms.vms_size(), ", ", FormatBytes(charged), " charged",
                guests);
}

std::string TimeLeft(const Context& context, const google::protobuf::Timestamp& time) {
  const auto left = std::chrono::seconds(time.seconds() - ToMicros(context.Now()) / 1'000'000);
  return left.count() > 0 ? FormatAge(left) : "expired";
}

}  // namespace claw::ctl
