#include "agent/model/json.h"
#include "agent/model/json_reader.h"

namespace claw {
namespace {

using json::Dump;
using json::Get;
using json::GetEnum;
using json::GetTime;
using json::Json;

Json ProbeToJson(const CompatProbe& probe) {
  Json json = {{"name", probe.name},
               {"command", probe.command},
               {"env", probe.env},
               {"exit_code", probe.exit_code},
               {"timeout_ms", probe.timeout.count()}};
  if (probe.output) json["output"] = *probe.output;
  if (probe.output_contains) json["output_contains"] = *probe.output_contains;
  return json;
}

void ReadProbe(const Json& json, CompatProbe& probe) {
  Get(json, "name", probe.name);
  Get(json, "command", probe.command);
  Get(json, "env", probe.env);
  Get(json, "exit_code", probe.exit_code);
  int64_t timeout_ms = probe.timeout.count();
  Get(json, "timeout_ms", timeout_ms);
  probe.timeout = std::chrono::milliseconds(timeout_ms);
  if (json.contains("output")) Get(json, "output", probe.output.emplace());
  if (json.contains("output_contains")) {
    Get(json, "output_contains", probe.output_contains.emplace());
  }
}

Json RunToJson(const CompatRun& run) {
  return {{"exit_code", run.exit_code},     {"timed_out", run.timed_out},
          {"oom_killed", run.oom_killed},   {"as_expected", run.as_expected},
          {"output_tail", run.output_tail}, {"wall_micros", run.wall_micros},
          {"cpu_micros", run.cpu_micros},   {"memory_peak_bytes", run.memory_peak_bytes}};
}

void ReadRun(const Json& json, CompatRun& run) {
  Get(json, "exit_code", run.exit_code);
  Get(json, "timed_out", run.timed_out);
  Get(json, "oom_killed", run.oom_killed);
  Get(json, "as_expected", run.as_expected);
  Get(json, "output_tail", run.output_tail);
  Get(json, "wall_micros", run.wall_micros);
  Get(json, "cpu_micros", run.cpu_micros);
  Get(json, "memory_peak_bytes", run.memory_peak_bytes);
}

Json ResultsToJson(const std::vector<CompatProbeResult>& results) {
  Json array = Json::array();
  for (const CompatProbeResult& result : results) {
    Json& entry = array.emplace_back(
        Json{{"probe", ProbeToJson(result.probe)}, {"gvisor", RunToJson(result.gvisor)}});
    if (result.baseline) entry["baseline"] = RunToJson(*result.baseline);
  }
  return array;
}

void ReadResults(const Json& array, std::vector<CompatProbeResult>& results) {
  for (const Json& entry : array) {
    CompatProbeResult& result = results.emplace_back();
    ReadProbe(entry.at("probe"), result.probe);
    ReadRun(entry.at("gvisor"), result.gvisor);
    if (entry.contains("baseline")) ReadRun(entry["baseline"], result.baseline.emplace());
  }
}

Json FindingsToJson(const std::vector<SyscallFinding>& findings) {
  Json array = Json::array();
  for (const SyscallFinding& finding : findings) {
    array.push_back({{"name", finding.name},
                     {"kind", ToString(finding.kind)},
                     {"errno", finding.error_number},
                     {"mattered", ToString(finding.mattered)},
                     {"probe", finding.probe}});
  }
  return array;
}

void ReadFindings(const Json& array, std::vector<SyscallFinding>& findings) {
  for (const Json& entry : array) {
    SyscallFinding& finding = findings.emplace_back();
    Get(entry, "name", finding.name);
    GetEnum(entry, "kind", finding.kind, ParseFindingKind);
    Get(entry, "errno", finding.error_number);
    GetEnum(entry, "mattered", finding.mattered, ParseMattered);
    Get(entry, "probe", finding.probe);
  }
}

void ReadVerdict(const Json& json, CompatVerdict& verdict) {
  Get(json, "image_digest", verdict.image_digest);
  Get(json, "runtime_version", verdict.runtime_version);
  Get(json, "platform", verdict.platform);
  Get(json, "architecture", verdict.architecture);
  Get(json, "reference", verdict.reference);
  GetEnum(json, "result", verdict.result, ParseCompatResult);
  Get(json, "summary", verdict.summary);
  ReadResults(json.value("probes", Json::array()), verdict.probes);
  ReadFindings(json.value("findings", Json::array()), verdict.findings);
  Get(json, "ignored_syscalls", verdict.ignored_syscalls);
  Get(json, "tested_by", verdict.tested_by);
  GetTime(json, "tested_at", verdict.tested_at);
  Get(json, "accepted_by", verdict.accepted_by);
}

}  // namespace

std::string ToJson(const CompatVerdict& verdict) {
  return Dump({{"image_digest", verdict.image_digest},
               {"runtime_version", verdict.runtime_version},
               {"platform", verdict.platform},
               {"architecture", verdict.architecture},
               {"reference", verdict.reference},
               {"result", ToString(verdict.result)},
               {"summary", verdict.summary},
               {"probes", ResultsToJson(verdict.probes)},
               {"findings", FindingsToJson(verdict.findings)},
               {"ignored_syscalls", verdict.ignored_syscalls},
               {"tested_by", verdict.tested_by},
               {"tested_at", ToMicros(verdict.tested_at)},
               {"accepted_by", verdict.accepted_by}});
}

std::string ToJson(const CompatOverride& value) {
  return Dump({{"image_digest", value.image_digest},
               {"isolation", ToString(value.isolation)},
               {"reason", value.reason},
               {"given_by", value.given_by},
               {"created_at", ToMicros(value.created_at)},
               {"expires_at", ToMicros(value.expires_at)}});
}

StatusOr<CompatVerdict> CompatVerdictFromJson(std::string_view text) {
  return json::Parse<CompatVerdict>("verdict", text, ReadVerdict);
}

StatusOr<CompatOverride> CompatOverrideFromJson(std::string_view text) {
  return json::Parse<CompatOverride>("override", text, [](const Json& json, CompatOverride& value) {
    Get(json, "image_digest", value.image_digest);
    GetEnum(json, "isolation", value.isolation, ParseIsolationClass);
    Get(json, "reason", value.reason);
    Get(json, "given_by", value.given_by);
    GetTime(json, "created_at", value.created_at);
    GetTime(json, "expires_at", value.expires_at);
  });
}

}  // namespace claw
