#include "agent/model/json.h"

#include <algorithm>

#include "agent/model/json_network.h"
#include "agent/model/json_reader.h"

namespace claw {
namespace {

using json::Dump;
using json::Get;
using json::GetEnum;
using json::GetTime;
using json::Json;

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
  Json json = {{"tenant", spec.tenant},
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
  // A request is known again by this text: what it did not say must not show, or an agent of
  // another version would take it for another one.
  if (spec.request_bytes != 0) json["request_bytes"] = spec.request_bytes;
  if (spec.priority != 0) json["priority"] = spec.priority;
  if (!spec.node_selector.empty()) json["node_selector"] = spec.node_selector;
  if (!spec.tolerations.empty()) json["tolerations"] = spec.tolerations;
  if (!spec.avoid_tenants.empty()) json["avoid_tenants"] = spec.avoid_tenants;
  if (spec.exclusive) json["exclusive"] = true;
  if (spec.isolation) json["isolation"] = ToString(*spec.isolation);
  if (spec.network != NetworkSpec{}) json["network"] = json::ToJsonValue(spec.network);
  return json;
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
  Get(json, "request_bytes", spec.request_bytes);
  Get(json, "priority", spec.priority);
  Get(json, "cpu_millis", spec.cpu_millis);
  Get(json, "pids_max", spec.pids_max);
  Get(json, "tty", spec.tty);
  Get(json, "stdin_open", spec.stdin_open);
  Get(json, "read_only_root", spec.read_only_root);
  Get(json, "auto_remove", spec.auto_remove);
  Get(json, "labels", spec.labels);
  Get(json, "node_selector", spec.node_selector);
  Get(json, "tolerations", spec.tolerations);
  Get(json, "avoid_tenants", spec.avoid_tenants);
  Get(json, "exclusive", spec.exclusive);
  if (json.contains("isolation")) {
    GetEnum(json, "isolation", spec.isolation.emplace(), ParseIsolationClass);
  }
  if (const auto it = json.find("network"); it != json.end()) json::Read(*it, spec.network);
}

Json DecisionToJson(const DecisionRecord& decision) {
  return {{"isolation", ToString(decision.isolation)},
          {"rule", decision.rule},
          {"reason", decision.reason},
          {"trust", ToString(decision.trust)},
          {"node_class", ToString(decision.node_class)},
          {"compat", ToString(decision.compat)},
          {"signers", decision.signers},
          {"override_by", decision.override_by},
          {"override_expires_at", ToMicros(decision.override_expires_at)},
          {"decided_at", ToMicros(decision.decided_at)}};
}

void ReadDecision(const Json& json, DecisionRecord& decision) {
  GetEnum(json, "isolation", decision.isolation, ParseIsolationClass);
  Get(json, "rule", decision.rule);
  Get(json, "reason", decision.reason);
  GetEnum(json, "trust", decision.trust, ParseTrust);
  GetEnum(json, "node_class", decision.node_class, ParseNodeClass);
  GetEnum(json, "compat", decision.compat, ParseCompatStatus);
  Get(json, "signers", decision.signers);
  Get(json, "override_by", decision.override_by);
  GetTime(json, "override_expires_at", decision.override_expires_at);
  GetTime(json, "decided_at", decision.decided_at);
}

Json ResourcesToJson(const Resources& resources) {
  return {{"workload_bytes", resources.memory.workload_bytes},
          {"overhead_bytes", resources.memory.overhead_bytes},
          {"cgroup_max_bytes", resources.memory.cgroup_max_bytes},
          {"request_bytes", resources.memory.request_bytes},
          {"cpu_millis", resources.cpu_millis},
          {"pids_max", resources.pids_max}};
}

void ReadResources(const Json& json, Resources& resources) {
  Get(json, "workload_bytes", resources.memory.workload_bytes);
  Get(json, "overhead_bytes", resources.memory.overhead_bytes);
  Get(json, "cgroup_max_bytes", resources.memory.cgroup_max_bytes);
  Get(json, "request_bytes", resources.memory.request_bytes);
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
  Get(json, "target", sandbox.target);
  GetEnum(json, "isolation", sandbox.isolation, ParseIsolationClass);
  if (const auto it = json.find("decision"); it != json.end()) {
    ReadDecision(*it, sandbox.decision);
  } else {
    // Records of before there was a policy to tell about.
    sandbox.decision.isolation = sandbox.isolation;
    Get(json, "isolation_reason", sandbox.decision.reason);
  }
  Get(json, "driver", sandbox.driver);
  Get(json, "runtime_version", sandbox.runtime_version);
  Get(json, "platform", sandbox.platform);
  Get(json, "image_digest", sandbox.image_digest);
  ReadResources(json.value("resources", Json::object()), sandbox.resources);
  const Json handle = json.value("handle", Json::object());
  Get(handle, "driver", sandbox.handle.driver);
  Get(handle, "version", sandbox.handle.version);
  Get(handle, "data", sandbox.handle.data);
  GetEnum(json, "network_mode", sandbox.network_mode, ParseNetworkMode);
  if (const auto it = json.find("network"); it != json.end()) {
    json::Read(*it, sandbox.network.emplace());
  }
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
  if (const auto it = json.find("lease"); it != json.end()) {
    Lease& lease = sandbox.lease.emplace();
    GetTime(*it, "expires_at", lease.expires_at);
    int64_t ttl_millis = 0;
    Get(*it, "ttl_millis", ttl_millis);
    lease.ttl = std::clamp(std::chrono::milliseconds(ttl_millis), kMinLease, kMaxLease);
    Get(*it, "held_by", lease.held_by);
  }
  Get(json, "request_id", sandbox.request_id);
  Get(json, "host_record", sandbox.host_record);
  GetTime(json, "created_at", sandbox.created_at);
  GetTime(json, "started_at", sandbox.started_at);
}

}  // namespace

std::string ToJson(const Tenant& tenant) {
  return Dump({{"name", tenant.name},
               {"trust", ToString(tenant.trust)},
               {"quota",
                {{"sandboxes", tenant.quota.sandboxes},
                 {"workload_bytes", tenant.quota.workload_bytes},
                 {"cpu_millis", tenant.quota.cpu_millis}}},
               {"labels", tenant.labels},
               {"allowed_images", tenant.allowed_images},
               {"network_policy", tenant.network_policy},
               {"created_at", ToMicros(tenant.created_at)},
               {"updated_at", ToMicros(tenant.updated_at)}});
}

std::string ToJson(const Sandbox& sandbox) {
  Json json = {{"id", sandbox.id},
               {"spec", SpecToJson(sandbox.spec)},
               {"state", ToString(sandbox.state)},
               {"revision", sandbox.revision},
               {"target", sandbox.target},
               {"isolation", ToString(sandbox.isolation)},
               {"decision", DecisionToJson(sandbox.decision)},
               {"driver", sandbox.driver},
               {"runtime_version", sandbox.runtime_version},
               {"platform", sandbox.platform},
               {"image_digest", sandbox.image_digest},
               {"resources", ResourcesToJson(sandbox.resources)},
               {"handle",
                {{"driver", sandbox.handle.driver},
                 {"version", sandbox.handle.version},
                 {"data", sandbox.handle.data}}},
               {"network_mode", ToString(sandbox.network_mode)},
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
  if (!sandbox.host_record.empty()) json["host_record"] = sandbox.host_record;
  if (sandbox.network) json["network"] = json::ToJsonValue(*sandbox.network);
  if (sandbox.exit) json["exit"] = ExitToJson(*sandbox.exit);
  if (sandbox.lease) {
    json["lease"] = {{"expires_at", ToMicros(sandbox.lease->expires_at)},
                     {"ttl_millis", sandbox.lease->ttl.count()},
                     {"held_by", sandbox.lease->held_by}};
  }
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
               {"labels", image.labels},
               {"signers", image.signers},
               {"created_at", ToMicros(image.created_at)}});
}

StatusOr<Tenant> TenantFromJson(std::string_view text) {
  return json::Parse<Tenant>("tenant", text, [](const Json& json, Tenant& tenant) {
    Get(json, "name", tenant.name);
    GetEnum(json, "trust", tenant.trust, ParseTrust);
    const Json quota = json.value("quota", Json::object());
    Get(quota, "sandboxes", tenant.quota.sandboxes);
    Get(quota, "workload_bytes", tenant.quota.workload_bytes);
    Get(quota, "cpu_millis", tenant.quota.cpu_millis);
    Get(json, "labels", tenant.labels);
    Get(json, "allowed_images", tenant.allowed_images);
    Get(json, "network_policy", tenant.network_policy);
    GetTime(json, "created_at", tenant.created_at);
    GetTime(json, "updated_at", tenant.updated_at);
  });
}

StatusOr<Sandbox> SandboxFromJson(std::string_view text) {
  return json::Parse<Sandbox>("sandbox", text, ReadSandbox);
}

StatusOr<Image> ImageFromJson(std::string_view text) {
  return json::Parse<Image>("image", text, [](const Json& json, Image& image) {
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
    Get(json, "labels", image.labels);
    Get(json, "signers", image.signers);
    GetTime(json, "created_at", image.created_at);
  });
}

}  // namespace claw
