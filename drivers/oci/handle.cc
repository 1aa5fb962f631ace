#include "drivers/oci/handle.h"

#include <nlohmann/json.hpp>

#include "agent/base/strings.h"
#include "drivers/oci/layout.h"

namespace claw::drivers {
namespace {

using Json = nlohmann::json;

constexpr int kHandleVersion = 1;

Json ToJson(const ProcessIdentity& process) {
  return {{"pid", process.pid}, {"start_ticks", process.start_ticks}, {"boot_id", process.boot_id}};
}

ProcessIdentity ProcessFromJson(const Json& json) {
  return {.pid = json.at("pid").get<int64_t>(),
          .start_ticks = json.at("start_ticks").get<uint64_t>(),
          .boot_id = json.at("boot_id").get<std::string>()};
}

}  // namespace

DriverHandle HandleOf(std::string_view driver, std::string data) {
  return {.driver = std::string(driver), .version = kHandleVersion, .data = std::move(data)};
}

DriverHandle MakeHandle(std::string_view driver, const OciInstance& instance) {
  const Json data = {{"id", instance.id},
                     {"process", ToJson(instance.process)},
                     {"conmon", ToJson(instance.conmon)},
                     {"nonce", instance.nonce},
                     {"workload_bytes", instance.workload_bytes},
                     {"cgroup_max_bytes", instance.cgroup_max_bytes},
                     {"id_base", instance.id_base},
                     {"network", instance.network},
                     {"masked_start", instance.masked_start}};
  return HandleOf(driver, data.dump());
}

StatusOr<OciInstance> ParseHandle(std::string_view driver, const DriverHandle& handle) {
  if (handle.driver != driver || handle.version != kHandleVersion) {
    return DataLoss("a handle of driver '", handle.driver, "' version ", handle.version,
                    " is not one of ", driver, "'s");
  }
  try {
    const Json json = Json::parse(handle.data);
    OciInstance instance;
    instance.id = json.at("id").get<std::string>();
    instance.process = ProcessFromJson(json.at("process"));
    instance.conmon = ProcessFromJson(json.at("conmon"));
    instance.nonce = json.at("nonce").get<std::string>();
    instance.workload_bytes = json.at("workload_bytes").get<int64_t>();
    instance.cgroup_max_bytes = json.at("cgroup_max_bytes").get<int64_t>();
    instance.id_base = json.at("id_base").get<uint32_t>();
    instance.network = json.value("network", false);
    instance.masked_start = json.value("masked_start", false);
    if (!IsId(instance.id)) return DataLoss("the handle names no sandbox");
    return instance;
  } catch (const std::exception& error) {
    return DataLoss("the handle cannot be read: ", error.what());
  }
}

}  // namespace claw::drivers
