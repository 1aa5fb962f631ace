#include "agent/rpc/convert_compat.h"

#include "agent/base/linux_errno.h"
#include "agent/rpc/convert.h"
#include "agent/rpc/names.h"

namespace claw::rpc {
namespace {

StatusOr<CompatProbe> ProbeFromProto(const pb::Probe& proto) {
  CompatProbe probe;
  probe.name = proto.name();
  probe.command = {proto.command().begin(), proto.command().end()};
  probe.env = {proto.env().begin(), proto.env().end()};
  probe.exit_code = proto.exit_code();
  if (proto.has_output()) probe.output = proto.output();
  if (proto.has_output_contains()) probe.output_contains = proto.output_contains();
  if (proto.has_timeout()) {
    ASSIGN_OR_RETURN(probe.timeout,
                     ParseDuration("probe.timeout", proto.timeout(), kMaxProbeTimeout));
  }
  RETURN_IF_ERROR(ValidateProbe(probe));
  return probe;
}

void SetMicros(int64_t micros, google::protobuf::Duration* out) {
  out->set_seconds(micros / 1'000'000);
  out->set_nanos(static_cast<int32_t>(micros % 1'000'000 * 1000));
}

pb::Probe ToProto(const CompatProbe& probe) {
  pb::Probe proto;
  proto.set_name(probe.name);
  proto.mutable_command()->Assign(probe.command.begin(), probe.command.end());
  proto.mutable_env()->Assign(probe.env.begin(), probe.env.end());
  proto.set_exit_code(probe.exit_code);
  if (probe.output) proto.set_output(*probe.output);
  if (probe.output_contains) proto.set_output_contains(*probe.output_contains);
  SetMicros(probe.timeout.count() * 1000, proto.mutable_timeout());
  return proto;
}

pb::ProbeRun ToProto(const CompatRun& run, const char* runtime) {
  pb::ProbeRun proto;
  proto.set_runtime(runtime);
  proto.set_exit_code(run.exit_code);
  proto.set_timed_out(run.timed_out);
  proto.set_oom_killed(run.oom_killed);
  proto.set_as_expected(run.as_expected);
  proto.set_output_tail(run.output_tail);
  SetMicros(run.wall_micros, proto.mutable_wall_time());
  SetMicros(run.cpu_micros, proto.mutable_cpu_time());
  proto.set_memory_peak_bytes(run.memory_peak_bytes);
  return proto;
}

std::string ErrnoName(int error_number) {
  const std::string_view name = LinuxErrnoName(error_number);
  if (!name.empty()) return std::string(name);
  return error_number == 0 ? "" : StrCat("errno ", error_number);
}

pb::SyscallFinding ToProto(const SyscallFinding& finding) {
  pb::SyscallFinding proto;
  proto.set_name(finding.name);
  proto.set_kind(finding.kind == SyscallFinding::Kind::kLacking ? pb::SyscallFinding::LACKING
                                                                : pb::SyscallFinding::REFUSED);
  proto.set_error(ErrnoName(finding.error_number));
  switch (finding.mattered) {
    case SyscallFinding::Mattered::kUnknown:
      break;
    case SyscallFinding::Mattered::kNo:
      proto.set_mattered(pb::SyscallFinding::NO);
      break;
    case SyscallFinding::Mattered::kYes:
      proto.set_mattered(pb::SyscallFinding::YES);
      break;
  }
  proto.set_probe(finding.probe);
  return proto;
}

pb::CompatResult ToProto(CompatResult result) {
  switch (result) {
    case CompatResult::kCompatible:
      return pb::COMPAT_RESULT_COMPATIBLE;
    case CompatResult::kDegraded:
      return pb::COMPAT_RESULT_DEGRADED;
    case CompatResult::kIncompatible:
      return pb::COMPAT_RESULT_INCOMPATIBLE;
  }
  return pb::COMPAT_RESULT_UNSPECIFIED;
}

}  // namespace

StatusOr<CompatTestSpec> FromProto(const pb::TestImageRequest& request) {
  CompatTestSpec spec;
  ASSIGN_OR_RETURN(spec.image, ParseImageName("image", request.image()));
  for (const pb::Probe& proto : request.probes()) {
    ASSIGN_OR_RETURN(CompatProbe probe, ProbeFromProto(proto));
    spec.probes.push_back(std::move(probe));
  }
  spec.baseline = request.baseline();
  if (request.workload_bytes() != 0) spec.workload_bytes = request.workload_bytes();
  return spec;
}

StatusOr<CompatOverride> FromProto(const pb::CreateOverrideRequest& request) {
  CompatOverride value;
  ASSIGN_OR_RETURN(value.image_digest, ParseImageName("image", request.image()));
  ASSIGN_OR_RETURN(const auto isolation, FromProto(request.isolation_class()));
  if (!isolation) return BadField("isolation_class", "is missing");
  value.isolation = *isolation;
  value.reason = request.reason();
  return value;
}

pb::Verdict ToProto(const CompatVerdict& verdict, bool stale) {
  pb::Verdict proto;
  proto.set_image(StrCat("images/", verdict.image_digest));
  proto.set_reference(verdict.reference);
  proto.set_runtime_version(verdict.runtime_version);
  proto.set_platform(verdict.platform);
  proto.set_architecture(verdict.architecture);
  proto.set_result(ToProto(verdict.result));
  proto.set_summary(verdict.summary);
  proto.set_stale(stale);
  for (const CompatProbeResult& result : verdict.probes) {
    pb::ProbeResult* entry = proto.add_probes();
    *entry->mutable_probe() = ToProto(result.probe);
    *entry->mutable_gvisor() = ToProto(result.gvisor, "gvisor");
    if (result.baseline) *entry->mutable_baseline() = ToProto(*result.baseline, "runc");
  }
  for (const SyscallFinding& finding : verdict.findings) *proto.add_findings() = ToProto(finding);
  proto.mutable_ignored_syscalls()->Assign(verdict.ignored_syscalls.begin(),
                                           verdict.ignored_syscalls.end());
  SetTime(verdict.tested_at, proto.mutable_test_time());
  proto.set_tested_by(verdict.tested_by);
  proto.set_accepted_by(verdict.accepted_by);
  return proto;
}

pb::Override ToProto(const CompatOverride& value) {
  pb::Override proto;
  proto.set_image(StrCat("images/", value.image_digest));
  proto.set_isolation_class(ToProto(value.isolation));
  proto.set_reason(value.reason);
  SetTime(value.expires_at, proto.mutable_expire_time());
  proto.set_given_by(value.given_by);
  SetTime(value.created_at, proto.mutable_create_time());
  return proto;
}

}  // namespace claw::rpc
