#include "agent/model/json.h"
#include "agent/model/json_reader.h"

namespace claw {

using json::Get;
using json::GetEnum;
using json::GetTime;
using json::Json;

std::string ToJson(const Vm& vm) {
  return json::Dump({{"name", vm.spec.name},
                     {"cpus", vm.spec.cpus},
                     {"memory_bytes", vm.spec.memory_bytes},
                     {"disk_bytes", vm.spec.disk_bytes},
                     {"uuid", vm.uuid},
                     {"state", ToString(vm.state)},
                     {"revision", vm.revision},
                     {"overhead_bytes", vm.overhead_bytes},
                     {"image_digest", vm.image_digest},
                     {"port", vm.port},
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
    Get(json, "image_digest", vm.image_digest);
    Get(json, "port", vm.port);
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
