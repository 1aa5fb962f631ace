#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {

StatusOr<policy::Decision> Node::Decide(const Sandbox& sandbox) const {
  ASSIGN_OR_RETURN(const Tenant tenant, GetTenant(sandbox.spec.tenant));
  ASSIGN_OR_RETURN(const Image image, FindImage(sandbox.image_digest));
  ASSIGN_OR_RETURN(const placement::Target* target, FindTarget(sandbox.target));
  const std::vector<Image> variants(1, image);
  const placement::Demand demand = DemandFor(tenant, variants, sandbox.spec);
  return placement::Examiner(demand, PlacementSettings()).Decide(*target);
}

Status Node::CheckStillAllowed(const Entry& entry) const {
  const Sandbox& record = entry.record;
  const drivers::Driver* driver = DriverFor(record);
  if (driver == nullptr || driver->isolation() != record.isolation) {
    return Internal("driver ", record.driver, " is not one of class ", ToString(record.isolation));
  }
  ASSIGN_OR_RETURN(const policy::Decision now, Decide(record));
  if (!entry.revoked && policy::StillHolds(record.isolation, now)) return absl::OkStatus();
  return MakeError(StatusCode::kPermissionDenied,
                   StrCat("the policy changed its mind while the sandbox was starting in class ",
                          ToString(record.isolation), ": ", now.record.reason),
                   {.reason = "POLICY_CHANGED",
                    .constraint = now.record.rule,
                    .needed = std::string(ToString(record.isolation)),
                    .available = now.isolation ? std::string(ToString(*now.isolation)) : "none"});
}

}  // namespace claw::lifecycle
