#include "tests/integration/driver/oci_fixture.h"

#include <catch2/catch.hpp>

#include "agent/base/id.h"
#include "agent/base/strings.h"
#include "tests/support/busybox_root.h"

namespace claw::test {

OciFixture::OciFixture(std::string kind, std::shared_ptr<TempDir> dir, const std::string& boot_id)
    : kind_(std::move(kind)), dir_(std::move(dir)) {
  if (!dir_) {
    dir_ = std::make_shared<TempDir>();
    MakeBusyboxRoot(dir_->path() / "image");
  }
  host_ = host::ReadHostInfo().value();
  if (!boot_id.empty()) host_.boot_id = boot_id;
  cgroups_ = host::Cgroups::Detect().value();
  drivers::OciOptions options;
  options.state_dir = dir_->path() / "state";
  options.run_dir = dir_->path() / "run";
  options.cgroup_parent = cgroup_parent();
  options.starter_path = CLAW_STARTER;
  options.runtime = kind_ == "gvisor" ? "runsc" : "runc";
  if (kind_ == "runc") {
    driver_ = std::make_unique<drivers::RuncDriver>(options, host_, *cgroups_, exits_);
  } else if (kind_ == "legacy") {
    driver_ = std::make_unique<drivers::LegacyDriver>(options, host_, *cgroups_, exits_);
  } else {
    driver_ = std::make_unique<drivers::GvisorDriver>(options, "", host_, *cgroups_, exits_);
  }
  const drivers::Fingerprint found = driver_->Probe();
  INFO(found.message);
  REQUIRE(found.healthy);
}

OciFixture::~OciFixture() {
  if (dir_.use_count() > 1) return;
  const auto ids = driver_->List();
  for (const std::string& id : ids.value_or(std::vector<std::string>())) {
    driver_->Destroy(id).IgnoreError();
  }
  cgroups_->Remove(cgroup_parent()).IgnoreError();
}

std::string OciFixture::cgroup_parent() const {
  return StrCat("clawtest-", dir_->path().extension().string().substr(1));
}

std::unique_ptr<DriverFixture> OciFixture::Reopen() {
  return std::make_unique<OciFixture>(kind_, dir_);
}

std::unique_ptr<OciFixture> OciFixture::Reboot() {
  return std::make_unique<OciFixture>(kind_, dir_, "another-boot");
}

drivers::LaunchSpec OciFixture::Shell(const std::string& script) {
  drivers::LaunchSpec spec;
  spec.id = RandomHex(kSandboxIdLength);
  spec.image_rootfs = dir_->path() / "image";
  spec.argv = {"sh", "-c", script};
  spec.env = {"PATH=/bin"};
  spec.working_directory = "/";
  spec.hostname = "box";
  spec.resources.memory = {
      .workload_bytes = 64 * kMiB, .overhead_bytes = 64 * kMiB, .cgroup_max_bytes = 128 * kMiB};
  spec.resources.pids_max = 64;
  spec.record_json = "{}";
  return spec;
}

}  // namespace claw::test
