#include "agent/model/json.h"
#include "agent/model/json_reader.h"

namespace claw {

using json::Get;
using json::GetEnum;
using json::GetTime;
using json::Json;

namespace {

Json PlatformToJson(const GuestPlatform& platform) {
  Json runtimes = Json::array();
  for (const GuestPlatform::Runtime& runtime : platform.runtimes) {
    runtimes.push_back({{"driver", runtime.driver},
                        {"isolation", ToString(runtime.isolation)},
                        {"problem", runtime.problem},
                        {"version", runtime.version},
                        {"platform", runtime.platform},
                        {"overhead_prior_bytes", runtime.overhead_prior_bytes}});
  }
  return {{"architecture", platform.architecture},
          {"page_size_bytes", platform.page_size_bytes},
          {"cpus", platform.cpus},
          {"allocatable_bytes", platform.allocatable_bytes},
          {"runtimes", std::move(runtimes)}};
}

void ReadPlatform(const Json& json, GuestPlatform& platform) {
  Get(json, "architecture", platform.architecture);
  Get(json, "page_size_bytes", platform.page_size_bytes);
  Get(json, "cpus", platform.cpus);
  Get(json, "allocatable_bytes", platform.allocatable_bytes);
  for (const Json& one : json.value("runtimes", Json::array())) {
    GuestPlatform::Runtime& runtime = platform.runtimes.emplace_back();
    Get(one, "driver", runtime.driver);
    GetEnum(one, "isolation", runtime.isolation, ParseIsolationClass);
    Get(one, "problem", runtime.problem);
    Get(one, "version", runtime.version);
    Get(one, "platform", runtime.platform);
    Get(one, "overhead_prior_bytes", runtime.overhead_prior_bytes);
  }
}

}  // namespace

std::string ToJson(const Vm& vm) {
  return json::Dump({{"name", vm.spec.name},
                     {"cpus", vm.spec.cpus},
                     {"memory_bytes", vm.spec.memory_bytes},
                     {"disk_bytes", vm.spec.disk_bytes},
                     {"uuid", vm.uuid},
                     {"state", ToString(vm.state)},
                     {"revision", vm.revision},
                     {"overhead_bytes", vm.overhead_bytes},
                     {"measured_overhead_bytes", vm.measured_overhead_bytes},
                     {"balloon_bytes", vm.balloon_bytes},
                     {"high_water_bytes", vm.high_water_bytes},
                     {"image_digest", vm.image_digest},
                     {"port", vm.port},
                     {"on_demand", vm.on_demand},
                     {"platform", PlatformToJson(vm.platform)},
                     {"cordoned", vm.cordoned},
                     {"cordon_reason", vm.cordon_reason},
                     {"failure", vm.failure},
                     {"boot_id", vm.boot_id},
                     {"created_at", ToMicros(vm.created_at)},
                     {"started_at", ToMicros(vm.started_at)},
                     {"certificate_expires_at", ToMicros(vm.certificate_expires_at)}});
}

StatusOr<Vm> VmFromJson(std::string_view text) {
  return json::Parse<Vm>("VM", text, [](const Json& json, Vm& vm) {
    Get(json, "name", vm.spec.name);
    Get(json, "cpus", vm.spec.cpus);
    Get(json, "memory_bytes", vm.spec.memory_bytes);
    Get(json, "disk_bytes", vm.spec.disk_bytes);
    Get(json, "uuid", vm.uuid);
    GetEnum(json, "state", vm.state, ParseVmState);
    Get(json, "revision", vm.revision);
    Get(json, "overhead_bytes", vm.overhead_bytes);
    Get(json, "measured_overhead_bytes", vm.measured_overhead_bytes);
    Get(json, "balloon_bytes", vm.balloon_bytes);
    Get(json, "high_water_bytes", vm.high_water_bytes);
    Get(json, "image_digest", vm.image_digest);
    Get(json, "port", vm.port);
    Get(json, "on_demand", vm.on_demand);
    ReadPlatform(json.value("platform", Json::object()), vm.platform);
    Get(json, "cordoned", vm.cordoned);
    Get(json, "cordon_reason", vm.cordon_reason);
    Get(json, "failure", vm.failure);
    Get(json, "boot_id", vm.boot_id);
    GetTime(json, "created_at", vm.created_at);
    GetTime(json, "started_at", vm.started_at);
    GetTime(json, "certificate_expires_at", vm.certificate_expires_at);
  });
}

}  // namespace claw
