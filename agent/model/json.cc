#include "agent/model/json.h"

#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>

namespace claw {
namespace {

using Json = nlohmann::json;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Reads a value if it is there. The wrong type throws; FromJson below turns that into a Status.
template <typename T>
void Get(const Json& json, const char* key, T& into) {
  if (!json.is_object()) throw std::invalid_argument(StrCat("'", key, "' is not in an object"));
  const auto it = json.find(key);
  if (it == json.end()) return;
  // The library would cut a fraction off and wrap what is too large.
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    const bool fits = it->is_number_unsigned() ? std::in_range<T>(it->template get<uint64_t>())
                                               : it->is_number_integer() &&
                                                     std::in_range<T>(it->template get<int64_t>());
    if (!fits) throw std::invalid_argument(StrCat("'", key, "' is not a number that fits"));
  }
  it->get_to(into);
}

void GetTime(const Json& json, const char* key, Time& into) {
  int64_t micros = 0;
  Get(json, key, micros);
  into = FromMicros(micros);
}

// An enum by its name, parsed by `parse`.
template <typename T, typename Parse>
void GetEnum(const Json& json, const char* key, T& into, Parse parse) {
  const auto it = json.find(key);
  if (it == json.end()) return;
  StatusOr<T> value = parse(it->template get<std::string>());
  if (!value.ok()) throw std::invalid_argument(std::string(value.status().message()));
  into = *value;
}

template <typename T, typename Read>
StatusOr<T> FromJson(std::string_view what, std::string_view text, Read read) {
  try {
    const Json json = Json::parse(text);
    if (!json.is_object()) return DataLoss(what, " record is not a JSON object");
    T value;
    read(json, value);
    return value;
  } catch (const std::exception& error) {
    return DataLoss(what, " record cannot be read: ", error.what());
  }
}

Json MountsToJson(const std::vector<Mount>& mounts) {
  Json array = Json::array();
  for (const Mount& mount : mounts) {
    array.push_back({{"source", mount.source},
                     {"destination", mount.destination},
                     {"read_only", mount.read_only}});
  }
  return array;
}

Json SpecToJson(const SandboxSpec& spec) {
  return {{"tenant", spec.tenant},
          {"display_name", spec.display_name},
          {"image", spec.image},
          {"command", spec.command},
          {"args", spec.args},
          {"env", spec.env},
          {"working_directory", spec.working_directory},
          {"mounts", MountsToJson(spec.mounts)},
          {"workload_bytes", spec.workload_bytes},
          {"cpu_millis", spec.cpu_millis},
          {"pids_max", spec.pids_max},
          {"tty", spec.tty},
          {"stdin_open", spec.stdin_open},
          {"read_only_root", spec.read_only_root},
          {"auto_remove", spec.auto_remove},
          {"labels", spec.labels}};
}

void ReadSpec(const Json& json, SandboxSpec& spec) {
  Get(json, "tenant", spec.tenant);
  Get(json, "display_name", spec.display_name);
  Get(json, "image", spec.image);
  Get(json, "command", spec.command);
  Get(json, "args", spec.args);
  Get(json, "env", spec.env);
  Get(json, "working_directory", spec.working_directory);
  for (const Json& entry : json.value("mounts", Json::array())) {
    Mount& mount = spec.mounts.emplace_back();
    Get(entry, "source", mount.source);
    Get(entry, "destination", mount.destination);
    Get(entry, "read_only", mount.read_only);
  }
  Get(json, "workload_bytes", spec.workload_bytes);
  Get(json, "cpu_millis", spec.cpu_millis);
  Get(json, "pids_max", spec.pids_max);
  Get(json, "tty", spec.tty);
  Get(json, "stdin_open", spec.stdin_open);
  Get(json, "read_only_root", spec.read_only_root);
  Get(json, "auto_remove", spec.auto_remove);
  Get(json, "labels", spec.labels);
}

Json ResourcesToJson(const Resources& resources) {
  return {{"workload_bytes", resources.memory.workload_bytes},
          {"overhead_bytes", resources.memory.overhead_bytes},
          {"cgroup_max_bytes", resources.memory.cgroup_max_bytes},
          {"cpu_millis", resources.cpu_millis},
          {"pids_max", resources.pids_max}};
}

void ReadResources(const Json& json, Resources& resources) {
  Get(json, "workload_bytes", resources.memory.workload_bytes);
  Get(json, "overhead_bytes", resources.memory.overhead_bytes);
  Get(json, "cgroup_max_bytes", resources.memory.cgroup_max_bytes);
  Get(json, "cpu_millis", resources.cpu_millis);
  Get(json, "pids_max", resources.pids_max);
}

Json ExitToJson(const ExitInfo& exit) {
  return {{"exit_code", exit.exit_code},
          {"reason", ToString(exit.reason)},
          {"memory_peak_bytes", exit.memory_peak_bytes},
          {"exited_at", ToMicros(exit.exited_at)}};
}

void ReadExit(const Json& json, ExitInfo& exit) {
  Get(json, "exit_code", exit.exit_code);
  GetEnum(json, "reason", exit.reason, ParseEndReason);
  Get(json, "memory_peak_bytes", exit.memory_peak_bytes);
  GetTime(json, "exited_at", exit.exited_at);
}

void ReadSandbox(const Json& json, Sandbox& sandbox) {
  Get(json, "id", sandbox.id);
  ReadSpec(json.value("spec", Json::object()), sandbox.spec);
  GetEnum(json, "state", sandbox.state, ParseSandboxState);
  Get(json, "revision", sandbox.revision);
  GetEnum(json, "isolation", sandbox.isolation, ParseIsolationClass);
  Get(json, "isolation_reason", sandbox.isolation_reason);
  Get(json, "driver", sandbox.driver);
  Get(json, "image_digest", sandbox.image_digest);
  ReadResources(json.value("resources", Json::object()), sandbox.resources);
  const Json handle = json.value("handle", Json::object());
  Get(handle, "driver", sandbox.handle.driver);
  Get(handle, "version", sandbox.handle.version);
  Get(handle, "data", sandbox.handle.data);
  const Json process = json.value("process", Json::object());
  Get(process, "pid", sandbox.process.pid);
  Get(process, "start_ticks", sandbox.process.start_ticks);
  Get(process, "boot_id", sandbox.process.boot_id);
  Get(json, "runtime_proof", sandbox.runtime_proof);
  if (const auto it = json.find("exit"); it != json.end()) {
    ReadExit(*it, sandbox.exit.emplace());
  }
  Get(json, "failure", sandbox.failure);
  Get(json, "released", sandbox.released);
  Get(json, "request_id", sandbox.request_id);
  GetTime(json, "created_at", sandbox.created_at);
  GetTime(json, "started_at", sandbox.started_at);
}

}  // namespace

std::string ToJson(const Tenant& tenant) {
  return Dump({{"name", tenant.name},
               {"trust", ToString(tenant.trust)},
               {"created_at", ToMicros(tenant.created_at)}});
}

std::string ToJson(const Sandbox& sandbox) {
  Json json = {{"id", sandbox.id},
               {"spec", SpecToJson(sandbox.spec)},
               {"state", ToString(sandbox.state)},
               {"revision", sandbox.revision},
               {"isolation", ToString(sandbox.isolation)},
               {"isolation_reason", sandbox.isolation_reason},
               {"driver", sandbox.driver},
               {"image_digest", sandbox.image_digest},
               {"resources", ResourcesToJson(sandbox.resources)},
               {"handle",
                {{"driver", sandbox.handle.driver},
                 {"version", sandbox.handle.version},
                 {"data", sandbox.handle.data}}},
               {"process",
                {{"pid", sandbox.process.pid},
                 {"start_ticks", sandbox.process.start_ticks},
                 {"boot_id", sandbox.process.boot_id}}},
               {"runtime_proof", sandbox.runtime_proof},
               {"failure", sandbox.failure},
               {"released", sandbox.released},
               {"request_id", sandbox.request_id},
               {"created_at", ToMicros(sandbox.created_at)},
               {"started_at", ToMicros(sandbox.started_at)}};
  if (sandbox.exit) json["exit"] = ExitToJson(*sandbox.exit);
  return Dump(json);
}

std::string ToJson(const Image& image) {
  return Dump({{"digest", image.digest},
               {"names", image.names},
               {"architecture", image.architecture},
               {"os", image.os},
               {"size_bytes", image.size_bytes},
               {"entrypoint", image.entrypoint},
               {"command", image.command},
               {"env", image.env},
               {"working_directory", image.working_directory},
               {"uid", image.uid},
               {"gid", image.gid},
               {"additional_gids", image.additional_gids},
               {"dropped_device_nodes", image.dropped_device_nodes},
               {"cleared_setuid_bits", image.cleared_setuid_bits},
               {"created_at", ToMicros(image.created_at)}});
}

StatusOr<Tenant> TenantFromJson(std::string_view text) {
  return FromJson<Tenant>("tenant", text, [](const Json& json, Tenant& tenant) {
    Get(json, "name", tenant.name);
    GetEnum(json, "trust", tenant.trust, ParseTrust);
    GetTime(json, "created_at", tenant.created_at);
  });
}

StatusOr<Sandbox> SandboxFromJson(std::string_view text) {
  return FromJson<Sandbox>("sandbox", text, ReadSandbox);
}

StatusOr<Image> ImageFromJson(std::string_view text) {
  return FromJson<Image>("image", text, [](const Json& json, Image& image) {
    Get(json, "digest", image.digest);
    Get(json, "names", image.names);
    Get(json, "architecture", image.architecture);
    Get(json, "os", image.os);
    Get(json, "size_bytes", image.size_bytes);
    Get(json, "entrypoint", image.entrypoint);
    Get(json, "command", image.command);
    Get(json, "env", image.env);
    Get(json, "working_directory", image.working_directory);
    Get(json, "uid", image.uid);
    Get(json, "gid", image.gid);
    Get(json, "additional_gids", image.additional_gids);
    Get(json, "dropped_device_nodes", image.dropped_device_nodes);
    Get(json, "cleared_setuid_bits", image.cleared_setuid_bits);
    GetTime(json, "created_at", image.created_at);
  });
}

}  // namespace claw
