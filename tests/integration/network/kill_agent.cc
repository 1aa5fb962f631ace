// The networks of an agent that is to be killed: one life of a sandbox, after the work that an
// agent does first. Started by kill_test.cc.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "drivers/network/linux/networks.h"
#include "tests/integration/network/world_config.h"

namespace {

void Must(const claw::Status& status, const char* what) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", what, claw::ToLogString(status).c_str());
  std::_Exit(1);
}

}  // namespace

// RUN_DIR RANGE PLUGINS PID-FILE PID [IPV4 IPV6 MAC INTERFACE BRIDGE of the sandbox "old"]
int main(int argc, char** argv) {
  using claw::StrCat;
  if (argc != 6 && argc != 11) return 2;
  auto config = claw::test::WorldConfig(argv[1], argv[2]);
  config.cni_path = {argv[3]};
  Must(claw::WriteFileAtomic(argv[4], StrCat(::getpid(), "\n")), "write the pid");
  claw::network::LinuxNetworks networks(config, {});
  const auto health = networks.Probe();
  if (!health.healthy) std::fprintf(stderr, "Probe: %s\n", health.message.c_str());
  if (argc == 11) {
    auto plan = claw::test::FullPlan("old");
    plan.ports.clear();
    Must(networks.Adopt(plan, {.ipv4 = argv[6],
                               .ipv6 = argv[7],
                               .mac = argv[8],
                               .host_interface = argv[9],
                               .bridge = argv[10]}),
         "Adopt");
  }
  Must(networks.Reconcile().status(), "Reconcile");
  auto plan = claw::test::FullPlan("new");
  Must(networks.Prepare(plan).status(), "Prepare");
  Must(networks.Attach(plan, std::atol(argv[5])).status(), "Attach");
  plan.layers[0].policy.egress.resize(1);
  plan.layers[0].policy.egress_bytes_per_second = 0;
  Must(networks.Replace({plan}), "Replace");
  Must(networks.Detach("new"), "Detach");
  return 0;
}
