#include "agent/rpc/convert.h"

#include "agent/rpc/convert_network.h"
#include "agent/rpc/names.h"

namespace claw::rpc {
namespace {

constexpr size_t kMaxProgramBytes = 128 * 1024;
constexpr int kMaxProgramStrings = 1024;

template <typename Repeated>
std::vector<std::string> ToVector(const Repeated& strings) {
  return {strings.begin(), strings.end()};
}

template <typename Repeated>
Status CheckStrings(std::string_view field, const Repeated& strings) {
  size_t total = 0;
  for (const std::string& text : strings) {
    if (text.find('\0') != std::string::npos) return BadField(field, "contains a NUL byte");
    total += text.size() + 1;
  }
  if (strings.size() > kMaxProgramStrings || total > kMaxProgramBytes) {
    return BadField(field, StrCat("has more than ", kMaxProgramStrings, " entries or ",
                                  kMaxProgramBytes, " bytes"));
  }
  return absl::OkStatus();
}

Status CheckEnv(const google::protobuf::RepeatedPtrField<std::string>& env) {
  for (const std::string& entry : env) {
    const size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return BadField("spec.env", "has an entry that is not NAME=value");
    }
  }
  return absl::OkStatus();
}

pb::IsolationDecision ToProto(const DecisionRecord& decision) {
  pb::IsolationDecision proto;
  proto.set_isolation_class(rpc::ToProto(decision.isolation));
  proto.set_rule(decision.rule);
  proto.set_reason(decision.reason);
  proto.set_trust(std::string(ToString(decision.trust)));
  proto.set_node_class(std::string(ToString(decision.node_class)));
  proto.set_compat(std::string(ToString(decision.compat)));
  proto.mutable_signers()->Assign(decision.signers.begin(), decision.signers.end());
  if (!decision.override_by.empty()) {
    proto.set_override_by(decision.override_by);
    SetTime(decision.override_expires_at, proto.mutable_override_expire_time());
  }
  SetTime(decision.decided_at, proto.mutable_decide_time());
  return proto;
}

pb::SandboxState ToProto(SandboxState state) {
  switch (state) {
    case SandboxState::kReserved:
      return pb::SANDBOX_STATE_RESERVED;
    case SandboxState::kStarting:
      return pb::SANDBOX_STATE_STARTING;
    case SandboxState::kRunning:
      return pb::SANDBOX_STATE_RUNNING;
    case SandboxState::kStopping:
      return pb::SANDBOX_STATE_STOPPING;
    case SandboxState::kExited:
      return pb::SANDBOX_STATE_EXITED;
    case SandboxState::kFailed:
      return pb::SANDBOX_STATE_FAILED;
    case SandboxState::kLost:
      return pb::SANDBOX_STATE_LOST;
  }
  return pb::SANDBOX_STATE_UNSPECIFIED;
}

pb::EndReason ToProto(EndReason reason) {
  switch (reason) {
    case EndReason::kNone:
      return pb::END_REASON_UNSPECIFIED;
    case EndReason::kExited:
      return pb::END_REASON_EXITED;
    case EndReason::kStopped:
      return pb::END_REASON_STOPPED;
    case EndReason::kOomKilled:
      return pb::END_REASON_OOM_KILLED;
    case EndReason::kProofFailed:
      return pb::END_REASON_PROOF_FAILED;
    case EndReason::kHostRestart:
      return pb::END_REASON_HOST_RESTART;
    case EndReason::kRevoked:
      return pb::END_REASON_REVOKED;
    case EndReason::kEvicted:
      return pb::END_REASON_EVICTED;
  }
  return pb::END_REASON_UNSPECIFIED;
}

pb::SandboxSpec ToProto(const SandboxSpec& spec) {
  pb::SandboxSpec proto;
  proto.set_tenant(StrCat("tenants/", spec.tenant));
  proto.set_display_name(spec.display_name);
  proto.set_image(spec.image);
  proto.mutable_command()->Assign(spec.command.begin(), spec.command.end());
  proto.mutable_args()->Assign(spec.args.begin(), spec.args.end());
  proto.mutable_env()->Assign(spec.env.begin(), spec.env.end());
  proto.set_working_directory(spec.working_directory);
  for (const Mount& mount : spec.mounts) {
    pb::Mount* out = proto.add_mounts();
    out->set_source(mount.source);
    out->set_destination(mount.destination);
    out->set_writable(!mount.read_only);
  }
  proto.set_workload_bytes(spec.workload_bytes);
  proto.set_memory_request_bytes(spec.request_bytes);
  proto.set_priority(static_cast<int32_t>(spec.priority));
  proto.set_cpu_millis(spec.cpu_millis);
  proto.set_pids_max(spec.pids_max);
  proto.set_tty(spec.tty);
  proto.set_stdin_open(spec.stdin_open);
  proto.set_read_only_root(spec.read_only_root);
  proto.set_auto_remove(spec.auto_remove);
  proto.mutable_labels()->insert(spec.labels.begin(), spec.labels.end());
  if (spec.isolation) proto.set_isolation_class(rpc::ToProto(*spec.isolation));
  proto.mutable_node_selector()->insert(spec.node_selector.begin(), spec.node_selector.end());
  proto.mutable_tolerations()->Assign(spec.tolerations.begin(), spec.tolerations.end());
  for (const std::string& tenant : spec.avoid_tenants) {
    proto.add_avoid_tenants(StrCat("tenants/", tenant));
  }
  proto.set_exclusive(spec.exclusive);
  if (spec.network != NetworkSpec{}) *proto.mutable_network() = rpc::ToProto(spec.network);
  return proto;
}

void SetResources(const Resources& resources, pb::Resources* out) {
  SetMemory(resources.memory, out->mutable_memory());
  out->set_cpu_millis(resources.cpu_millis);
  out->set_pids_max(resources.pids_max);
}

}  // namespace

void SetMemory(const Memory& memory, pb::Memory* out) {
  out->set_workload_bytes(memory.workload_bytes);
  out->set_overhead_bytes(memory.overhead_bytes);
  out->set_cgroup_max_bytes(memory.cgroup_max_bytes);
  out->set_request_bytes(RequestOf(memory));
}

pb::IsolationClass ToProto(IsolationClass isolation) {
  switch (isolation) {
    case IsolationClass::kContainer:
      return pb::ISOLATION_CLASS_CONTAINER;
    case IsolationClass::kGvisor:
      return pb::ISOLATION_CLASS_GVISOR;
    case IsolationClass::kLegacyHardened:
      return pb::ISOLATION_CLASS_LEGACY_HARDENED;
  }
  return pb::ISOLATION_CLASS_UNSPECIFIED;
}

StatusOr<std::optional<IsolationClass>> FromProto(pb::IsolationClass isolation) {
  switch (isolation) {
    case pb::ISOLATION_CLASS_UNSPECIFIED:
      return std::nullopt;
    case pb::ISOLATION_CLASS_CONTAINER:
      return IsolationClass::kContainer;
    case pb::ISOLATION_CLASS_GVISOR:
      return IsolationClass::kGvisor;
    case pb::ISOLATION_CLASS_LEGACY_HARDENED:
      return IsolationClass::kLegacyHardened;
    default:
      return BadField("isolation_class", StrCat("has the value ", static_cast<int>(isolation),
                                                ", which this node does not know"));
  }
}

void SetTime(Time time, google::protobuf::Timestamp* out) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  out->set_seconds(seconds.time_since_epoch().count());
  out->set_nanos(static_cast<int32_t>((time - seconds).count() * 1000));
}

std::string SandboxName(const std::string& id) { return StrCat("sandboxes/", id); }

StatusOr<SandboxSpec> FromProto(const pb::SandboxSpec& proto) {
  SandboxSpec spec;
  ASSIGN_OR_RETURN(spec.tenant, ParseTenantName("spec.tenant", proto.tenant()));
  spec.display_name = proto.display_name();
  spec.image = proto.image();
  spec.command = ToVector(proto.command());
  spec.args = ToVector(proto.args());
  spec.env = ToVector(proto.env());
  spec.working_directory = proto.working_directory();
  for (const pb::Mount& mount : proto.mounts()) {
    spec.mounts.push_back({.source = mount.source(),
                           .destination = mount.destination(),
                           .read_only = !mount.writable()});
  }
  if (proto.workload_bytes() != 0) spec.workload_bytes = proto.workload_bytes();
  spec.request_bytes = proto.memory_request_bytes();
  spec.priority = proto.priority();
  spec.cpu_millis = proto.cpu_millis();
  if (proto.pids_max() != 0) spec.pids_max = proto.pids_max();
  spec.tty = proto.tty();
  spec.stdin_open = proto.stdin_open();
  spec.read_only_root = proto.read_only_root();
  spec.auto_remove = proto.auto_remove();
  spec.labels = {proto.labels().begin(), proto.labels().end()};
  ASSIGN_OR_RETURN(spec.isolation, FromProto(proto.isolation_class()));
  spec.node_selector = {proto.node_selector().begin(), proto.node_selector().end()};
  spec.tolerations = ToVector(proto.tolerations());
  for (const std::string& name : proto.avoid_tenants()) {
    ASSIGN_OR_RETURN(std::string tenant, ParseTenantName("spec.avoid_tenants", name));
    spec.avoid_tenants.push_back(std::move(tenant));
  }
  spec.exclusive = proto.exclusive();
  ASSIGN_OR_RETURN(spec.network, FromProto(proto.network(), "spec.network"));
  RETURN_IF_ERROR(ValidateSpec(spec));
  return spec;
}

StatusOr<drivers::ExecSpec> FromProto(const pb::ExecSpec& spec) {
  if (spec.command().empty() || spec.command(0).empty()) {
    return BadField("spec.command", "is missing");
  }
  RETURN_IF_ERROR(CheckStrings("spec.command", spec.command()));
  RETURN_IF_ERROR(CheckStrings("spec.env", spec.env()));
  RETURN_IF_ERROR(CheckEnv(spec.env()));
  const std::string& directory = spec.working_directory();
  if (!directory.empty() && (directory[0] != '/' || directory.size() > 4095 ||
                             directory.find('\0') != std::string::npos)) {
    return BadField("spec.working_directory", "is not an absolute path");
  }
  return drivers::ExecSpec{.argv = ToVector(spec.command()),
                           .env = ToVector(spec.env()),
                           .working_directory = directory,
                           .tty = spec.tty(),
                           .stdin_open = spec.stdin_open()};
}

pb::ExitStatus ToProto(const ExitInfo& exit) {
  pb::ExitStatus proto;
  proto.set_exit_code(exit.exit_code);
  proto.set_reason(ToProto(exit.reason));
  proto.set_memory_peak_bytes(exit.memory_peak_bytes);
  SetTime(exit.exited_at, proto.mutable_exit_time());
  return proto;
}

pb::Sandbox ToProto(const Sandbox& sandbox) {
  pb::Sandbox proto;
  proto.set_name(SandboxName(sandbox.id));
  *proto.mutable_spec() = ToProto(sandbox.spec);
  proto.set_state(ToProto(sandbox.state));
  proto.set_revision(sandbox.revision);
  proto.set_isolation_class(ToProto(sandbox.isolation));
  proto.set_isolation_reason(sandbox.decision.reason);
  *proto.mutable_decision() = ToProto(sandbox.decision);
  proto.set_driver(sandbox.driver);
  proto.set_image_digest(sandbox.image_digest);
  SetResources(sandbox.resources, proto.mutable_resources());
  proto.set_runtime_proof(sandbox.runtime_proof);
  if (sandbox.exit) *proto.mutable_exit() = ToProto(*sandbox.exit);
  proto.set_failure(sandbox.failure);
  if (IsRunning(sandbox.state)) proto.set_pid(sandbox.process.pid);
  SetTime(sandbox.created_at, proto.mutable_create_time());
  if (sandbox.started_at != Time{}) SetTime(sandbox.started_at, proto.mutable_start_time());
  proto.set_released(sandbox.released);
  if (sandbox.lease) SetTime(sandbox.lease->expires_at, proto.mutable_lease_expire_time());
  *proto.mutable_network() = NetworkStatusOf(sandbox);
  proto.set_target(sandbox.target);
  return proto;
}

pb::Image ToProto(const Image& image, int use_count) {
  pb::Image proto;
  proto.set_name(StrCat("images/", image.digest));
  proto.mutable_references()->Assign(image.names.begin(), image.names.end());
  proto.set_architecture(image.architecture);
  proto.set_os(image.os);
  proto.set_size_bytes(image.size_bytes);
  proto.mutable_entrypoint()->Assign(image.entrypoint.begin(), image.entrypoint.end());
  proto.mutable_command()->Assign(image.command.begin(), image.command.end());
  proto.mutable_env()->Assign(image.env.begin(), image.env.end());
  proto.set_working_directory(image.working_directory);
  proto.set_uid(image.uid);
  proto.set_gid(image.gid);
  proto.set_dropped_device_nodes(image.dropped_device_nodes);
  proto.set_cleared_setuid_bits(image.cleared_setuid_bits);
  SetTime(image.created_at, proto.mutable_create_time());
  proto.set_use_count(use_count);
  proto.mutable_labels()->insert(image.labels.begin(), image.labels.end());
  proto.mutable_signers()->Assign(image.signers.begin(), image.signers.end());
  return proto;
}

pb::Event ToProto(const Event& event) {
  pb::Event proto;
  proto.set_revision(event.revision);
  SetTime(event.time, proto.mutable_time());
  proto.set_type(event.type);
  proto.set_subject(event.subject);
  if (!event.tenant.empty()) proto.set_tenant(StrCat("tenants/", event.tenant));
  proto.set_message(event.message);
  proto.set_actor(event.actor);
  return proto;
}

pb::SandboxStats ToProto(const lifecycle::SandboxStats& stats) {
  pb::SandboxStats proto;
  proto.set_name(SandboxName(stats.id));
  proto.set_memory_usage_bytes(stats.stats.memory_usage_bytes);
  proto.set_application_bytes(stats.stats.application_bytes);
  proto.set_overhead_bytes(stats.stats.overhead_bytes);
  proto.set_page_cache_bytes(stats.stats.page_cache_bytes);
  proto.set_supervisor_bytes(stats.stats.supervisor_bytes);
  proto.set_memory_peak_bytes(stats.stats.memory_peak_bytes);
  proto.set_memory_limit_bytes(stats.stats.memory_limit_bytes);
  proto.set_cpu_usage_micros(stats.stats.cpu_usage_micros);
  proto.set_pids(stats.stats.pids);
  proto.set_limit_hits(stats.stats.limit_hits);
  SetTime(stats.time, proto.mutable_time());
  return proto;
}

}  // namespace claw::rpc
