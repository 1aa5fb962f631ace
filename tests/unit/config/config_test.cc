#include "agent/config.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>

#include "agent/app/vm_keys.h"
#include "tests/support/temp_dir.h"

namespace claw {
namespace {

Config Parse(std::string_view text) {
  const StatusOr<Config> config = ParseConfig(text, "clawlet.toml");
  INFO(config.status().message());
  REQUIRE(config.ok());
  return *config;
}

std::string Mistakes(std::string_view text) {
  const StatusOr<Config> config = ParseConfig(text, "clawlet.toml");
  REQUIRE(!config.ok());
  CHECK(config.status().code() == StatusCode::kInvalidArgument);
  return std::string(config.status().message());
}

TEST_CASE("config: an empty file means the defaults") {
  const Config config = Parse("");
  CHECK(config.state_dir == "/var/lib/clawlet");
  CHECK(config.SocketPath() == "/run/clawlet/clawlet.sock");
  CHECK(config.runc.enabled);
  CHECK(config.gvisor.path == "runsc");
  CHECK(!config.memory_bytes.has_value());
  CHECK(config.log_level == "info");
  CHECK(config.metrics_listen.empty());
}

TEST_CASE("config: every key is read") {
  const Config config = Parse(R"(
[node]
id = "box-7"
memory = "8Gi"
class = "hardened"
state_dir = "/data/claw/"
run_dir = "/run/claw"
[policy]
trusted_class = "gvisor"
accept_degraded = false
allow_overrides = false
require_signer = true
compat_baseline = false
max_override_hours = 24
[budget]
overhead_quantile_percent = 99
overhead_half_life_hours = 24
measure_seconds = 2
window_seconds = 30
out_of_memory_one_in = 10000
[pressure]
shrink_percent = 3
refuse_percent = 6
evict_percent = 50
calm_seconds = 20
eviction_grace_seconds = 5
[limits]
sandboxes = 400
runc = 300
gvisor = 200
runc_starts_per_cpu = 3
gvisor_starts_per_cpu = 1
start_queue = 10
[reserves]
system = "512Mi"
agent = 0
eviction = 104857600
[server]
socket = "/run/claw/api.sock"
[drivers]
conmon = "/usr/libexec/conmon"
starter = "/opt/claw/clawlet-starter"
log_max = "1Mi"
[drivers.runc]
enabled = false
path = "/usr/sbin/runc"
[drivers.gvisor]
enabled = true
path = "/opt/runsc"
platform = "systrap"
[log]
level = "debug"
format = "json"
[images]
max_size = "2Gi"
max_files = 5000
min_free_disk = 0
[events]
keep = 2000
[metrics]
listen = "[::1]:9464"
[signers.release]
key = "/etc/claw/release.asc"
signatures = "https://signatures.example.com/store"
[signers.house]
key = "/etc/claw/house.gpg"
)");
  CHECK(config.node_id == "box-7");
  CHECK(config.memory_bytes == 8 * kGiB);
  CHECK(config.run_dir == "/run/claw");
  CHECK(config.node_class == NodeClass::kHardened);
  CHECK(config.trusted_class == IsolationClass::kGvisor);
  CHECK_FALSE(config.accept_degraded);
  CHECK_FALSE(config.allow_overrides);
  CHECK(config.require_signer);
  CHECK_FALSE(config.compat_baseline);
  CHECK(config.max_override_hours == 24);
  CHECK(config.overhead_quantile_percent == 99);
  CHECK(config.overhead_half_life_hours == 24);
  CHECK(config.measure_seconds == 2);
  CHECK(config.window_seconds == 30);
  CHECK(config.out_of_memory_one_in == 10000);
  CHECK(config.pressure_shrink_percent == 3);
  CHECK(config.pressure_refuse_percent == 6);
  CHECK(config.pressure_evict_percent == 50);
  CHECK(config.pressure_calm_seconds == 20);
  CHECK(config.eviction_grace_seconds == 5);
  CHECK(config.max_sandboxes == 400);
  CHECK(config.max_runc == 300);
  CHECK(config.max_gvisor == 200);
  CHECK(config.runc_starts_per_cpu == 3);
  CHECK(config.gvisor_starts_per_cpu == 1);
  CHECK(config.start_queue == 10);
  CHECK(config.system_reserve_bytes == 512 * kMiB);
  CHECK(config.agent_reserve_bytes == 0);
  CHECK(config.eviction_reserve_bytes == 100 * kMiB);
  CHECK(config.SocketPath() == "/run/claw/api.sock");
  CHECK(config.conmon == "/usr/libexec/conmon");
  CHECK(config.starter == "/opt/claw/clawlet-starter");
  CHECK(config.sandbox_log_bytes == kMiB);
  CHECK_FALSE(config.runc.enabled);
  CHECK(config.gvisor.platform == "systrap");
  CHECK(config.log_level == "debug");
  CHECK(config.log_format == "json");
  CHECK(config.image_max_bytes == 2 * kGiB);
  CHECK(config.image_max_files == 5000);
  CHECK(config.image_min_free_bytes == 0);
  CHECK(config.events_keep == 2000);
  CHECK(config.metrics_listen == "[::1]:9464");
  REQUIRE(config.signers.size() == 2);
  CHECK(config.signers.at("release").key == "/etc/claw/release.asc");
  CHECK(config.signers.at("release").signatures == "https://signatures.example.com/store");
  CHECK(config.signers.at("house").key == "/etc/claw/house.gpg");
  CHECK(config.signers.at("house").signatures.empty());
}

TEST_CASE("config: a guest, and where it is reached") {
  const std::string tls =
      "[server]\nlisten = \"0.0.0.0:50051\"\ncertificate = \"/c.pem\"\nkey = \"/k.pem\"\n"
      "client_ca = \"/a.pem\"\n";
  const Config config = Parse("[node]\nrole = \"guest\"\n" + tls);
  CHECK(config.role == NodeRole::kGuest);
  CHECK(config.tls.listen == "0.0.0.0:50051");
  CHECK(config.tls.certificate == "/c.pem");
  CHECK(config.tls.key == "/k.pem");
  CHECK(config.tls.client_ca == "/a.pem");
  CHECK(ParseConfig(FormatConfig(config), "again.toml")->tls.client_ca == "/a.pem");
  CHECK(Parse(tls).role == NodeRole::kHost);
  CHECK_THAT(Mistakes("[node]\nrole = \"guest\"\n"), Catch::Contains("needs server.listen"));
  CHECK_THAT(Mistakes("[server]\nlisten = \"0.0.0.0:1\"\nkey = \"/k\"\n"),
             Catch::Contains("mutual TLS"));
  CHECK_THAT(Mistakes("[server]\nlisten = \"50051\"\n"),
             Catch::Contains("server.listen has to be"));
  CHECK_THAT(Mistakes("[node]\nrole = \"king\"\n"), Catch::Contains("\"host\" or \"guest\""));
}

TEST_CASE("config: virtual machines") {
  CHECK_FALSE(Parse("").vm.enabled);
  const Config config = Parse(R"(
[vm]
enabled = true
uri = "qemu:///system"
type = "kvm"
emulator = "/opt/qemu-system-aarch64"
image = "/srv/guest"
most = 3
cpus = 4
memory = "2Gi"
disk = "20Gi"
overhead = "100Mi"
memory_floor = "512Mi"
start_seconds = 60
stop_seconds = 5
)");
  CHECK(config.vm.enabled);
  CHECK(config.vm.uri == "qemu:///system");
  CHECK(config.vm.type == "kvm");
  CHECK(config.vm.emulator == "/opt/qemu-system-aarch64");
  CHECK(config.vm.image == "/srv/guest");
  const lifecycle::VmRules rules = MakeVmRules(config);
  CHECK(rules.defaults.cpus == 4);
  CHECK(rules.defaults.memory_bytes == 2 * kGiB);
  CHECK(rules.defaults.disk_bytes == 20 * kGiB);
  CHECK(rules.most == 3);
  CHECK(rules.overhead_bytes == 100 * kMiB);
  CHECK(rules.memory_floor_bytes == 512 * kMiB);
  CHECK(MakeVmRules(Parse("")).memory_floor_bytes == 384 * kMiB);
  CHECK_THAT(Mistakes("[vm]\nmemory_floor = \"64Mi\"\n"), Catch::Contains("at least 256 MiB"));
  CHECK(rules.start_timeout == std::chrono::seconds(60));
  CHECK(rules.stop_grace == std::chrono::seconds(5));
  CHECK(ParseConfig(FormatConfig(config), "again.toml")->vm.memory_bytes == 2 * kGiB);
  CHECK_THAT(Mistakes("[vm]\nmemory = \"64Mi\"\n"), Catch::Contains("at least 384 MiB"));
  CHECK_THAT(Mistakes("[vm]\ncpus = 9\n"), Catch::Contains("between 1 and 8"));
  CHECK_THAT(Mistakes("[vm]\ntype = \"xen\"\n"), Catch::Contains("hvf"));
  CHECK_THAT(Mistakes("[vm]\nuri = \"a b\"\n"), Catch::Contains("libvirt URI"));
}

TEST_CASE("config: mistakes are named with their line") {
  struct Case {
    const char* text;
    const char* says;
  };
  const Case cases[] = {
      {"[node]\nmemmory = 1", "clawlet.toml:2: there is no key node.memmory; perhaps node.memory?"},
      {"[node]\nsocket = \"/a\"", "perhaps server.socket?"},
      {"[nodes]\nid = \"a\"", "clawlet.toml:1: there is no key nodes"},
      {"frobnicate_everything = 1", "clawlet.toml:1: there is no key frobnicate_everything"},
      {"node = 3", "clawlet.toml:1: node is a section, not a value"},
      {"[node]\nid = 3", "clawlet.toml:2: node.id has to be a text"},
      {"[node]\nid = \"\"", "node.id has to be a text"},
      {"[node]\nid = [\"a\"]", "node.id has to be a text"},
      {"[node.id]\nx = 1", "node.id has to be a text"},
      {"[node]\nstate_dir = \"var\"", "node.state_dir has to be an absolute path"},
      {"[node]\nclass = \"soft\"", "node.class has to be \"standard\" or \"hardened\""},
      {"[policy]\ntrusted_class = \"none\"", "has to be \"container\" or \"gvisor\""},
      {"[policy]\ntrusted_class = \"legacy-hardened\"", "has to be \"container\" or \"gvisor\""},
      {"[node]\nclass = 1", "has to be \"standard\" or \"hardened\""},
      {"[policy]\nrequire_signer = 1", "policy.require_signer has to be true or false"},
      {"[policy]\nmax_override_hours = 721", "is 721; it has to lie between 1 and 720"},
      {"[policy]\nmax_override_hours = 0", "is 0; it has to lie between 1 and 720"},
      {"[budget]\noverhead_quantile_percent = 101", "is 101; it has to lie between 50 and 100"},
      {"[budget]\nmeasure_seconds = 0", "is 0; it has to lie between 1 and 3600"},
      {"[node]\nmemory = \"lots\"", "node.memory has to be an amount of bytes"},
      {"[node]\nmemory = 4096", "node.memory is 4096 bytes; it has to be at least 64 MiB"},
      {"[node]\nmemory = -1", "node.memory is -1 bytes"},
      {"[node]\nmemory = 1.5", "node.memory has to be an amount of bytes"},
      {"[reserves]\nsystem = true", "reserves.system has to be an amount of bytes"},
      {"[drivers.runc]\nenabled = \"yes\"", "drivers.runc.enabled has to be true or false"},
      {"[drivers.gvisor]\nplatform = \"ptrac\"", "has to be \"systrap\", \"ptrace\" or \"kvm\""},
      {"[log]\nlevel = \"loud\"", "log.level has to be"},
      {"[events]\nkeep = 5", "events.keep is 5; it has to lie between 1000 and"},
      {"[events]\nkeep = \"many\"", "events.keep has to be a whole number"},
      {"[metrics]\nlisten = 9464", "clawlet.toml:2: metrics.listen has to be"},
      {"[metrics]\nlisten = \"9464\"", "metrics.listen has to be a loopback address"},
      {"[metrics]\nlisten = \"0.0.0.0:9464\"",
       "metrics.listen is 0.0.0.0:9464, which other machines may reach"},
      {"signers = 1", "signers is a section, not a value"},
      {"[signers]\nrelease = 1", "clawlet.toml:2: signers.release is a section"},
      {"[signers.Release]\nkey = \"/k\"", "clawlet.toml:1: a signer"},
      {"[signers.a]\n", "clawlet.toml:1: signers.a has no key"},
      {"[signers.a]\nkey = \"k\"", "clawlet.toml:2: signers.a.key has to be the absolute path"},
      {"[signers.a]\nkey = 7", "clawlet.toml:2: signers.a.key has to be the absolute path"},
      {"[signers.a]\nkey = \"/k\"\nkeys = 1", "there is no key signers.a.keys"},
      {"[signers.a]\nkey = \"/k\"\nsignatures = \"http://x\"",
       "clawlet.toml:3: signers.a.signatures has to be where signatures are kept"},
      {"[node\nid = 1", "clawlet.toml:1: "},
      {"[node]\nid = \"a\"\nid = \"b\"", "clawlet.toml:3: "},
      {"[drivers.runc]\nenabled = false\n[drivers.gvisor]\nenabled = false",
       "both drivers are off"},
  };
  for (const Case& test : cases) {
    INFO(test.text);
    CHECK_THAT(Mistakes(test.text), Catch::Contains(test.says));
  }
}

TEST_CASE("config: all mistakes are named, in their order") {
  const std::string mistakes =
      Mistakes("[log]\nlevel = 1\nfromat = \"json\"\n[node]\nid = false\n");
  CHECK(std::count(mistakes.begin(), mistakes.end(), '\n') == 2);
  CHECK(mistakes.find(":2:") < mistakes.find(":3:"));
  CHECK(mistakes.find(":3:") < mistakes.find(":5:"));
  CHECK_THAT(mistakes, Catch::Contains("perhaps log.format?"));
}

TEST_CASE("config: what is printed is read back as the same") {
  const Config before = Parse(
      "[node]\nid = \"a\\\"b\"\nmemory = \"3Gi\"\nclass = \"hardened\"\n"
      "[policy]\ntrusted_class = \"gvisor\"\n[events]\nkeep = 1234\n"
      "[signers.a]\nkey = \"/a\\\"b\"\n[signers.b]\nkey = \"/b\"\n"
      "signatures = \"file:///s\"");
  const std::string text = FormatConfig(before);
  const Config after = Parse(text);
  CHECK(after.node_id == "a\"b");
  CHECK(after.memory_bytes == 3 * kGiB);
  CHECK(after.events_keep == 1234);
  REQUIRE(after.signers.size() == 2);
  CHECK(after.signers.at("a").key == "/a\"b");
  CHECK(after.signers.at("b").signatures == "file:///s");
  CHECK(after.node_class == NodeClass::kHardened);
  CHECK(after.trusted_class == IsolationClass::kGvisor);
  CHECK(FormatConfig(after) == text);
}

TEST_CASE("config: a file that cannot be read is named") {
  const test::TempDir dir;
  const auto missing = LoadConfig(dir.path() / "none.toml");
  CHECK(missing.status().code() == StatusCode::kNotFound);
  CHECK_THAT(std::string(missing.status().message()), Catch::Contains("none.toml"));
  std::ofstream(dir.path() / "a.toml") << "[node]\nid = \"x\"\n";
  CHECK(LoadConfig(dir.path() / "a.toml")->node_id == "x");
}

TEST_CASE("config: default reserves follow the memory") {
  const Config config;
  const auto large = *ResolveReserves(config, 64 * kGiB);
  CHECK(large.system_bytes == kGiB);
  CHECK(large.agent_bytes == 64 * kMiB);
  CHECK(large.eviction_bytes == 100 * kMiB);
  CHECK(ResolveReserves(config, 10 * kGiB)->system_bytes == 512 * kMiB);
  CHECK(ResolveReserves(config, 2 * kGiB)->system_bytes == 256 * kMiB);
}

TEST_CASE("config: reserves of a tiny machine take half of it") {
  const auto tiny = *ResolveReserves(Config(), 256 * kMiB);
  const int64_t sum = tiny.system_bytes + tiny.agent_bytes + tiny.eviction_bytes;
  CHECK(sum <= 128 * kMiB);
  CHECK(sum > 127 * kMiB);
  CHECK(tiny.system_bytes > tiny.eviction_bytes);
}

TEST_CASE("config: reserves that are set are taken as they are") {
  Config config;
  config.system_reserve_bytes = 0;
  config.agent_reserve_bytes = kMiB;
  config.eviction_reserve_bytes = 0;
  const auto reserves = *ResolveReserves(config, kGiB);
  CHECK(reserves.system_bytes == 0);
  CHECK(reserves.agent_bytes == kMiB);

  config.system_reserve_bytes = 2 * kGiB;
  CHECK(ResolveReserves(config, kGiB).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("config: an instance is named after its state folder") {
  const std::string name = InstanceName("/var/lib/clawlet");
  CHECK(name.size() == std::string("clawlet-").size() + 8);
  CHECK(name == InstanceName("/var/lib/clawlet/"));
  CHECK(name == InstanceName("/var/lib/./x/../clawlet"));
  CHECK(name != InstanceName("/var/lib/clawlet2"));
}

}  // namespace
}  // namespace claw
