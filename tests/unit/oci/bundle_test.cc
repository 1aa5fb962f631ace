#include "drivers/oci/bundle.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

namespace claw::drivers {
namespace {

using Json = nlohmann::json;

const MountPoints kPoints("/run/claw/mnt");

LaunchSpec Spec() {
  LaunchSpec spec;
  spec.id = "0123456789abcdef";
  spec.argv = {"sh", "-c", "exit 0"};
  spec.env = {"A=1"};
  spec.working_directory = "/srv";
  spec.hostname = "box";
  spec.mounts = {{.source = "/data", .destination = "/in", .read_only = true},
                 {.source = "/scratch", .destination = "/out", .read_only = false}};
  return spec;
}

BundleOptions Options() {
  BundleOptions options;
  options.architecture = "amd64";
  options.cgroup_path = "/clawlet/x/rt";
  return options;
}

Json Config(const LaunchSpec& spec, const BundleOptions& options) {
  return Json::parse(BundleConfig(spec, kPoints, options));
}

const Json* MountAt(const Json& config, const std::string& destination) {
  for (const Json& mount : config["mounts"]) {
    if (mount["destination"] == destination) return &mount;
  }
  return nullptr;
}

bool Has(const Json& array, const Json& value) {
  return std::find(array.begin(), array.end(), value) != array.end();
}

std::set<std::string> Namespaces(const Json& config) {
  std::set<std::string> types;
  for (const Json& entry : config["linux"]["namespaces"]) {
    CHECK_FALSE(entry.contains("path"));  // never somebody else's
    types.insert(entry["type"]);
  }
  return types;
}

TEST_CASE("the program is the tenant's, without a way to more privileges") {
  const Json process = Config(Spec(), Options())["process"];
  CHECK(process["args"] == Json({"sh", "-c", "exit 0"}));
  CHECK(process["env"] == Json({"A=1"}));
  CHECK(process["cwd"] == "/srv");
  CHECK(process["terminal"] == false);
  CHECK(process["noNewPrivileges"] == true);
  CHECK(process["rlimits"][0]["type"] == "RLIMIT_CORE");
  CHECK(process["rlimits"][0]["hard"] == 0);
}

TEST_CASE("no capability beyond the list is ever given") {
  const std::set<std::string> allowed = {
      "CAP_CHOWN",  "CAP_DAC_OVERRIDE",     "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
      "CAP_SETGID", "CAP_NET_BIND_SERVICE", "CAP_SETUID", "CAP_SETPCAP"};
  LaunchSpec spec = Spec();
  const Json root = Config(spec, Options())["process"]["capabilities"];
  CHECK_FALSE(root.contains("inheritable"));
  CHECK_FALSE(root.contains("ambient"));
  for (const auto& [set, names] : root.items()) {
    for (const Json& name : names) {
      INFO(set << " " << name);
      CHECK(allowed.count(name) == 1);
    }
  }
  spec.uid = 1000;
  const Json user = Config(spec, Options())["process"]["capabilities"];
  CHECK(user["effective"] == Json::array());
  CHECK(user["permitted"] == Json::array());
}

TEST_CASE("the user and its groups are passed on") {
  LaunchSpec spec = Spec();
  spec.uid = 1000;
  spec.gid = 1001;
  spec.additional_gids = {5, 6};
  CHECK(Config(spec, Options())["process"]["user"] ==
        Json({{"uid", 1000}, {"gid", 1001}, {"additionalGids", {5, 6}}}));
}

TEST_CASE("a container has every namespace of its own, and a user namespace that maps root away") {
  BundleOptions options = Options();
  options.seccomp = true;
  options.cgroup_namespace = true;
  options.id_base = 1u << 20;
  const Json config = Config(Spec(), options);
  CHECK(Namespaces(config) ==
        std::set<std::string>{"pid", "ipc", "uts", "mount", "network", "cgroup", "user"});
  const Json mapping = {{{"containerID", 0}, {"hostID", 1 << 20}, {"size", 65536}}};
  CHECK(config["linux"]["uidMappings"] == mapping);
  CHECK(config["linux"]["gidMappings"] == mapping);
  CHECK(config["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO");
}

TEST_CASE("gVisor's bundle has no seccomp and no user namespace, and its starter comes first") {
  BundleOptions options = Options();
  options.memory_limit_bytes = 64 << 20;
  options.argv_prefix = {"/.clawlet/init", "nonce"};
  const Json config = Config(Spec(), options);
  CHECK(Namespaces(config) == std::set<std::string>{"pid", "ipc", "uts", "mount", "network"});
  CHECK_FALSE(config["linux"].contains("seccomp"));
  CHECK_FALSE(config["linux"].contains("uidMappings"));
  CHECK(config["process"]["args"] == Json({"/.clawlet/init", "nonce", "sh", "-c", "exit 0"}));
  CHECK(config["linux"]["resources"]["memory"]["limit"] == 64 << 20);
}

TEST_CASE("the tenant's mounts are bind mounts without devices or setuid") {
  BundleOptions options = Options();
  SECTION("from where they are") {
    const Json config = Config(Spec(), options);
    const Json* in = MountAt(config, "/in");
    const Json* out = MountAt(config, "/out");
    REQUIRE(in != nullptr);
    REQUIRE(out != nullptr);
    CHECK((*in)["source"] == "/data");
    for (const char* option : {"bind", "nosuid", "nodev", "ro"})
      CHECK(Has((*in)["options"], option));
    for (const char* option : {"bind", "nosuid", "nodev", "rw"})
      CHECK(Has((*out)["options"], option));
    CHECK_FALSE(Has((*out)["options"], "ro"));
  }
  SECTION("from where they were staged, in order") {
    options.mounts_are_staged = true;
    const Json config = Config(Spec(), options);
    CHECK((*MountAt(config, "/in"))["source"] == "/run/claw/mnt/bind0");
    CHECK((*MountAt(config, "/out"))["source"] == "/run/claw/mnt/bind1");
  }
}

TEST_CASE("what the kernel tells about the host is hidden or read-only") {
  const Json config = Config(Spec(), Options());
  CHECK(Has((*MountAt(config, "/sys"))["options"], "ro"));
  for (const char* path : {"/proc/kcore", "/proc/keys", "/sys/firmware"}) {
    CHECK(Has(config["linux"]["maskedPaths"], path));
  }
  for (const char* path : {"/proc/sys", "/proc/sysrq-trigger"}) {
    CHECK(Has(config["linux"]["readonlyPaths"], path));
  }
  CHECK(config["linux"]["resources"]["devices"] ==
        Json::array({{{"allow", false}, {"access", "rwm"}}}));
  CHECK(config["linux"]["cgroupsPath"] == "/clawlet/x/rt");
  CHECK(config["root"]["path"] == "/run/claw/mnt/rootfs");
  CHECK(config["root"]["readonly"] == false);
}

TEST_CASE("a hostile string stays a string") {
  LaunchSpec spec = Spec();
  spec.argv = {"a\"],\"noNewPrivileges\":false,\"x\":[\"", "\xFF"};
  spec.hostname = "\"}";
  const Json config = Config(spec, Options());
  CHECK(config["process"]["args"][0] == spec.argv[0]);
  CHECK(config["process"]["noNewPrivileges"] == true);
  CHECK(config["hostname"] == "\"}");
}

}  // namespace
}  // namespace claw::drivers
