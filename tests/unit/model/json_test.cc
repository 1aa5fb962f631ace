#include "agent/model/json.h"

#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/unit/model/network_gen.h"

namespace claw {
namespace {

using nlohmann::json;

// Text as ValidateSpec lets it through: UTF-8 without NUL.
rc::Gen<std::string> Text() {
  return rc::gen::map(
      rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
          "a", "Z", "=", " ", "\"", "\\", "\n", "\x1B", "\x7F", "ä", "€", "💩", "/", "{")),
      [](const std::vector<std::string>& parts) { return Join(parts, ""); });
}

Time AnyTime() { return FromMicros(*rc::gen::arbitrary<int64_t>()); }
std::vector<std::string> Texts() { return *rc::gen::container<std::vector<std::string>>(Text()); }
int64_t Number() { return *rc::gen::arbitrary<int64_t>(); }
bool Flag() { return *rc::gen::arbitrary<bool>(); }

IsolationClass AnyClass() { return static_cast<IsolationClass>(*rc::gen::inRange(0, 3)); }
std::map<std::string, std::string> Labels() {
  return *rc::gen::container<std::map<std::string, std::string>>(Text(), Text());
}

SandboxSpec AnySpec() {
  SandboxSpec spec;
  spec.tenant = *Text();
  spec.display_name = *Text();
  spec.image = *Text();
  spec.command = Texts();
  spec.args = Texts();
  spec.env = Texts();
  spec.working_directory = *Text();
  for (int64_t i = *rc::gen::inRange(0, 3); i > 0; --i) {
    spec.mounts.push_back({.source = *Text(), .destination = *Text(), .read_only = Flag()});
  }
  spec.workload_bytes = Number();
  spec.request_bytes = Number();
  spec.priority = Number();
  spec.cpu_millis = Number();
  spec.pids_max = Number();
  spec.tty = Flag();
  spec.stdin_open = Flag();
  spec.read_only_root = Flag();
  spec.auto_remove = Flag();
  spec.labels = Labels();
  if (Flag()) spec.isolation = AnyClass();
  spec.node_selector = Labels();
  spec.tolerations = Texts();
  spec.avoid_tenants = Texts();
  spec.exclusive = Flag();
  if (Flag()) spec.network = testing::AnyNetworkSpec();
  return spec;
}

DecisionRecord AnyDecision() {
  return {.isolation = AnyClass(),
          .rule = *Text(),
          .reason = *Text(),
          .trust = static_cast<Trust>(*rc::gen::inRange(0, 2)),
          .node_class = static_cast<NodeClass>(*rc::gen::inRange(0, 2)),
          .compat = static_cast<CompatStatus>(*rc::gen::inRange(0, 6)),
          .signers = Texts(),
          .override_by = *Text(),
          .override_expires_at = AnyTime(),
          .decided_at = AnyTime()};
}

Sandbox AnySandbox() {
  Sandbox sandbox;
  sandbox.id = *Text();
  sandbox.spec = AnySpec();
  sandbox.state = static_cast<SandboxState>(*rc::gen::inRange(0, 7));
  sandbox.revision = Number();
  sandbox.isolation = AnyClass();
  sandbox.decision = AnyDecision();
  sandbox.driver = *Text();
  sandbox.image_digest = *Text();
  sandbox.resources.memory = {
      .workload_bytes = Number(), .overhead_bytes = Number(), .cgroup_max_bytes = Number()};
  sandbox.resources.cpu_millis = Number();
  sandbox.resources.pids_max = Number();
  sandbox.handle = {.driver = *Text(), .version = *rc::gen::arbitrary<int>(), .data = *Text()};
  sandbox.process = {
      .pid = Number(), .start_ticks = *rc::gen::arbitrary<uint64_t>(), .boot_id = *Text()};
  sandbox.runtime_proof = *Text();
  sandbox.network_mode = static_cast<NetworkMode>(*rc::gen::inRange(0, 2));
  if (Flag()) {
    sandbox.network = NetworkAttachment{.ipv4 = *Text(),
                                        .ipv6 = *Text(),
                                        .mac = *Text(),
                                        .host_interface = *Text(),
                                        .bridge = *Text()};
  }
  if (Flag()) {
    sandbox.exit = ExitInfo{.exit_code = *rc::gen::arbitrary<int>(),
                            .reason = static_cast<EndReason>(*rc::gen::inRange(0, 7)),
                            .memory_peak_bytes = Number(),
                            .exited_at = AnyTime()};
  }
  sandbox.failure = *Text();
  sandbox.released = Flag();
  if (Flag()) {
    sandbox.lease = Lease{.expires_at = AnyTime(),
                          .ttl = std::chrono::seconds(*rc::gen::inRange(1, 3601)),
                          .held_by = *Text()};
  }
  sandbox.request_id = *Text();
  sandbox.created_at = AnyTime();
  sandbox.started_at = AnyTime();
  return sandbox;
}

Image AnyImage() {
  return {.digest = *Text(),
          .names = Texts(),
          .architecture = *Text(),
          .os = *Text(),
          .size_bytes = Number(),
          .entrypoint = Texts(),
          .command = Texts(),
          .env = Texts(),
          .working_directory = *Text(),
          .uid = Number(),
          .gid = Number(),
          .additional_gids = *rc::gen::arbitrary<std::vector<int64_t>>(),
          .dropped_device_nodes = Number(),
          .cleared_setuid_bits = Number(),
          .labels = Labels(),
          .signers = Texts(),
          .created_at = AnyTime()};
}

Tenant AnyTenant() {
  return {.name = *Text(),
          .trust = static_cast<Trust>(*rc::gen::inRange(0, 2)),
          .quota = {.sandboxes = Number(), .workload_bytes = Number(), .cpu_millis = Number()},
          .labels = Labels(),
          .allowed_images = Texts(),
          .network_policy = *Text(),
          .created_at = AnyTime(),
          .updated_at = AnyTime()};
}

CompatRun AnyRun() {
  return {.exit_code = *rc::gen::arbitrary<int>(),
          .timed_out = Flag(),
          .oom_killed = Flag(),
          .as_expected = Flag(),
          .output_tail = *Text(),
          .wall_micros = Number(),
          .cpu_micros = Number(),
          .memory_peak_bytes = Number()};
}

CompatVerdict AnyVerdict() {
  CompatVerdict verdict{.image_digest = *Text(),
                        .runtime_version = *Text(),
                        .platform = *Text(),
                        .architecture = *Text(),
                        .reference = *Text(),
                        .result = static_cast<CompatResult>(*rc::gen::inRange(0, 3)),
                        .summary = *Text(),
                        .ignored_syscalls = Texts(),
                        .tested_by = *Text(),
                        .tested_at = AnyTime(),
                        .accepted_by = *Text()};
  for (int i = *rc::gen::inRange(0, 3); i > 0; --i) {
    CompatProbeResult& result = verdict.probes.emplace_back();
    result.probe = {.name = *Text(), .command = Texts(), .env = Texts()};
    result.probe.exit_code = *rc::gen::arbitrary<int>();
    result.probe.timeout = std::chrono::milliseconds(Number());
    if (Flag()) result.probe.output = *Text();
    if (Flag()) result.probe.output_contains = *Text();
    result.gvisor = AnyRun();
    if (Flag()) result.baseline = AnyRun();
    verdict.findings.push_back(
        {.name = *Text(),
         .kind = static_cast<SyscallFinding::Kind>(*rc::gen::inRange(0, 2)),
         .error_number = *rc::gen::arbitrary<int>(),
         .mattered = static_cast<SyscallFinding::Mattered>(*rc::gen::inRange(0, 3)),
         .probe = *Text()});
  }
  return verdict;
}

TEST_CASE("records come back from the disk as they went") {
  rc::prop("sandbox", [] {
    const Sandbox sandbox = AnySandbox();
    const auto back = SandboxFromJson(ToJson(sandbox));
    RC_ASSERT(back.ok());
    RC_ASSERT(*back == sandbox);
  });
  rc::prop("verdict", [] {
    const CompatVerdict verdict = AnyVerdict();
    const auto back = CompatVerdictFromJson(ToJson(verdict));
    RC_ASSERT(back.ok());
    RC_ASSERT(*back == verdict);
  });
  rc::prop("override", [] {
    const CompatOverride value{.image_digest = *Text(),
                               .isolation = AnyClass(),
                               .reason = *Text(),
                               .given_by = *Text(),
                               .created_at = AnyTime(),
                               .expires_at = AnyTime()};
    const auto back = CompatOverrideFromJson(ToJson(value));
    RC_ASSERT(back.ok());
    RC_ASSERT(*back == value);
  });
  rc::prop("network policy", [] {
    const NamedNetworkPolicy named{.name = *Text(),
                                   .policy = testing::AnyPolicy(),
                                   .created_at = AnyTime(),
                                   .updated_at = AnyTime()};
    RC_ASSERT(NamedNetworkPolicyFromJson(ToJson(named)).value() == named);
  });
  rc::prop("image", [] {
    const Image image = AnyImage();
    const auto back = ImageFromJson(ToJson(image));
    RC_ASSERT(back.ok());
    RC_ASSERT(*back == image);
  });
  rc::prop("tenant", [] {
    const Tenant tenant = AnyTenant();
    RC_ASSERT(TenantFromJson(ToJson(tenant)).value() == tenant);
  });
}

TEST_CASE("a record that was cut short or overwritten is DATA_LOSS, never a crash") {
  rc::prop("cut short", [] {
    const std::string text = ToJson(AnySandbox());
    const auto length = *rc::gen::inRange<size_t>(0, text.size());
    RC_ASSERT(SandboxFromJson(text.substr(0, length)).status().code() == StatusCode::kDataLoss);
  });
  rc::prop("one byte changed", [] {
    std::string text = ToJson(AnySandbox());
    text[*rc::gen::inRange<size_t>(0, text.size())] = *rc::gen::arbitrary<char>();
    const Status status = SandboxFromJson(text).status();
    RC_ASSERT((status.ok() || status.code() == StatusCode::kDataLoss));
  });
  rc::prop("anything", [](const std::string& text) {
    for (const Status& status :
         {SandboxFromJson(text).status(), ImageFromJson(text).status(),
          TenantFromJson(text).status(), NamedNetworkPolicyFromJson(text).status()}) {
      RC_ASSERT(status.code() == StatusCode::kDataLoss);
    }
  });
}

TEST_CASE("wrong types and unknown values are DATA_LOSS, not a default") {
  const std::string good = ToJson(Sandbox{});
  REQUIRE(SandboxFromJson(good).ok());
  const std::pair<const char*, const char*> cases[] = {
      {"/id", "7"},
      {"/state", "\"ASLEEP\""},
      {"/state", "2"},
      {"/isolation", "\"none\""},
      {"/isolation", "null"},
      {"/revision", "\"1\""},
      {"/revision", "1.5"},
      {"/released", "1"},
      {"/spec", "null"},
      {"/spec", "[]"},
      {"/spec/command", "\"sh\""},
      {"/spec/command", "[1]"},
      {"/spec/mounts", "{\"a\":1}"},
      {"/spec/mounts", "[\"/data\"]"},
      {"/spec/mounts", "[{\"source\":\"/x\",\"read_only\":\"yes\"}]"},
      {"/spec/labels", "[]"},
      {"/spec/node_selector", "[\"zone\"]"},
      {"/spec/tolerations", "\"gpu\""},
      {"/spec/avoid_tenants", "{}"},
      {"/spec/exclusive", "1"},
      {"/spec/workload_bytes", "1e30"},
      {"/spec/workload_bytes", "18446744073709551615"},
      {"/spec/workload_bytes", "true"},
      // These would otherwise turn into a sandbox that is charged nothing.
      {"/resources", "5"},
      {"/resources", "null"},
      {"/resources/cgroup_max_bytes", "\"128Mi\""},
      {"/handle", "\"x\""},
      {"/handle/version", "true"},
      {"/handle/version", "4294967297"},
      {"/process", "[]"},
      {"/process/start_ticks", "-1"},
      {"/exit", "0"},
      {"/exit", "{\"exit_code\":\"0\"}"},
      {"/exit", "{\"reason\":\"BORED\"}"},
      {"/lease", "7"},
      {"/lease", "{\"expires_at\":\"soon\"}"},
      {"/spec/network", "7"},
      {"/spec/network", "[]"},
      {"/spec/network", "{\"mode\":\"host\"}"},
      {"/spec/network", "{\"policy\":null}"},
      {"/spec/network", "{\"policy\":{\"egress\":\"10.0.0.0/8\"}}"},
      {"/spec/network", "{\"policy\":{\"egress\":[\"10.0.0.1/8\"]}}"},
      {"/spec/network", "{\"policy\":{\"egress\":[{}]}}"},
      {"/spec/network", "{\"policy\":{\"dns\":1}}"},
      {"/spec/network", "{\"ports\":[80]}"},
      {"/spec/network", "{\"ports\":[{\"host_port\":\"80\"}]}"},
      {"/spec/network", "{\"ports\":[{\"protocol\":\"sctp\"}]}"},
      {"/network_mode", "\"host\""},
      {"/network_mode", "0"},
      {"/network", "\"10.0.0.2\""},
      {"/network", "{\"ipv4\":10}"},
      {"/created_at", "\"now\""},
  };
  for (const auto& [pointer, value] : cases) {
    INFO(pointer << " = " << value);
    json record = json::parse(good);
    record[json::json_pointer(pointer)] = json::parse(value);
    CHECK(SandboxFromJson(record.dump()).status().code() == StatusCode::kDataLoss);
  }
  CHECK(TenantFromJson(R"({"name":"a","trust":"Trusted"})").status().code() ==
        StatusCode::kDataLoss);
  for (const char* policy : {"7", "[]", "null", R"({"ingress":[7]})", R"({"ingress":["a:0"]})",
                             R"({"connections_max":"1"})"}) {
    INFO(policy);
    CHECK(NamedNetworkPolicyFromJson(StrCat(R"({"name":"web","policy":)", policy, "}"))
              .status()
              .code() == StatusCode::kDataLoss);
  }
  CHECK(ImageFromJson(R"({"size_bytes":-1.0})").status().code() == StatusCode::kDataLoss);
}

TEST_CASE("an older agent's record and a newer one's are both read") {
  const auto old = SandboxFromJson(R"({"id":"x"})");
  REQUIRE(old.ok());
  Sandbox expected;
  expected.id = "x";
  CHECK(*old == expected);
  CHECK(old->isolation == IsolationClass::kGvisor);  // the stronger class
  const auto newer = SandboxFromJson(R"({"id":"x","colour":"red","spec":{"shape":{"a":[1]}}})");
  REQUIRE(newer.ok());
  CHECK(*newer == expected);
  CHECK(TenantFromJson(R"({"name":"a"})")->trust == Trust::kUntrusted);
}

TEST_CASE("what a request does not say of the network does not show in its text") {
  Sandbox sandbox;
  CHECK_FALSE(json::parse(ToJson(sandbox))["spec"].contains("network"));
  CHECK_FALSE(json::parse(ToJson(sandbox)).contains("network"));
  sandbox.spec.network.policy = NetworkPolicy{};  // which is not the same as none
  CHECK(json::parse(ToJson(sandbox))["spec"]["network"].dump() == R"({"policy":{}})");
  sandbox.spec.network.policy->egress = {ParseNetworkRule("[fd00::/8]:53,80-90/udp").value()};
  CHECK(json::parse(ToJson(sandbox))["spec"]["network"]["policy"].dump() ==
        R"({"egress":["[fd00::/8]:53,80-90/udp"]})");
  CHECK(ToJson(NetworkPolicy{.dns = true}) == R"({"dns":true})");
  CHECK(SandboxFromJson("{}")->network_mode == NetworkMode::kNone);
}

TEST_CASE("text that is not UTF-8 is written as something that can be read") {
  Sandbox sandbox;
  sandbox.failure = "broken \xFF";
  CHECK(SandboxFromJson(ToJson(sandbox)).ok());
}

}  // namespace
}  // namespace claw
