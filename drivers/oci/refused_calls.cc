#include "drivers/oci/refused_calls.h"

#include <algorithm>

#include "agent/base/strings.h"
#include "drivers/oci/syscall_names.h"

namespace claw::drivers {

using Json = nlohmann::json;

Json WithRefusedCalls(Json profile, const std::vector<RefusedCall>& calls) {
  if (calls.empty()) return profile;
  Json rules = Json::array();
  for (const RefusedCall& call : calls) {
    rules.push_back(
        {{"names", {call.name}}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", call.error_number}});
  }
  // libseccomp takes one rule for a call: the others lose its name.
  for (Json& rule : profile["syscalls"]) {
    Json kept = Json::array();
    for (const Json& name : rule["names"]) {
      const bool refused = std::any_of(calls.begin(), calls.end(),
                                       [&](const RefusedCall& call) { return name == call.name; });
      if (!refused) kept.push_back(name);
    }
    if (kept.empty()) continue;
    rule["names"] = kept;
    rules.push_back(rule);
  }
  profile["syscalls"] = rules;
  return profile;
}

Status CheckRefusable(const std::vector<RefusedCall>& calls, bool has_filter) {
  for (const RefusedCall& call : calls) {
    if (!has_filter) return Unimplemented("this runtime filters no system calls");
    if (!SyscallNumber(call.name)) {
      return Unimplemented("the host's libseccomp does not know the system call ", call.name);
    }
    if (call.error_number <= 0 || call.error_number > 4095) {
      return InvalidArgument(call.error_number, " is no error number");
    }
  }
  return absl::OkStatus();
}

}  // namespace claw::drivers
