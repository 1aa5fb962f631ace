#include "agent/model/json.h"
#include "agent/model/json_reader.h"

namespace claw {
namespace {

using json::Get;
using json::Json;

void ReadCharged(const Json& json, const char* key, double& into) {
  Get(json, key, into);
  // Written so that what is no number fails, too.
  const bool sane = into >= 0 && into < 1e300;
  if (!sane) throw std::invalid_argument("a usage is out of range");
}

}  // namespace

std::string ToJson(const TenantUsage& usage) {
  return json::Dump({{"tenant", usage.tenant},
                     {"workload_byte_seconds", usage.charged.workload},
                     {"overhead_byte_seconds", usage.charged.overhead}});
}

StatusOr<TenantUsage> TenantUsageFromJson(std::string_view text) {
  return json::Parse<TenantUsage>("tenant usage", text, [](const Json& json, TenantUsage& usage) {
    Get(json, "tenant", usage.tenant);
    ReadCharged(json, "workload_byte_seconds", usage.charged.workload);
    ReadCharged(json, "overhead_byte_seconds", usage.charged.overhead);
  });
}

}  // namespace claw
