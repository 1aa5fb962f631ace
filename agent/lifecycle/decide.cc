#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {

policy::Decision Node::Decide(const Tenant& tenant, const Image& image,
                              const SandboxSpec& spec) const {
  const placement::Demand demand = DemandFor(tenant, image, spec);
  return placement::Examiner(demand, PlacementSettings()).Decide(Here());
}

Status Node::CheckStillAllowed(const Entry& entry) const {
  const Sandbox& record = entry.record;
  const drivers::Driver* driver = DriverFor(record.driver);
  if (driver == nullptr || driver->isolation() != record.isolation) {
    return Internal("driver ", record.driver, " is not one of class ", ToString(record.isolation));
  }
  ASSIGN_OR_RETURN(const Tenant tenant, GetTenant(record.spec.tenant));
  ASSIGN_OR_RETURN(const Image image, FindImage(record.image_digest));
  const policy::Decision now = Decide(tenant, image, record.spec);
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
