#include "tests/integration/isolation/real_node.h"

#include <csignal>
#include <stdexcept>

#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "drivers/gvisor/gvisor_driver.h"
#include "drivers/runc/legacy_driver.h"
#include "drivers/runc/runc_driver.h"

namespace claw::test {
namespace {

void MustBe(const Status& status) {
  if (!status.ok()) throw std::runtime_error(ToLogString(status));
}

template <typename T>
T OrThrow(StatusOr<T> value) {
  MustBe(value.status());
  return *std::move(value);
}

}  // namespace

RealNode::RealNode(lifecycle::NodeConfig config, std::function<StatusOr<MachineFacts>()> read_facts)
    : host_(OrThrow(host::ReadHostInfo())),
      cgroups_(OrThrow(host::Cgroups::Detect())),
      cgroup_parent_(StrCat("clawtest-", dir_.path().extension().string().substr(1))),
      pool_(4, 64),
      store_(OrThrow(store::Store::Open({.path = dir_.path() / "clawlet.db"}))),
      images_(OrThrow(image::ImageStore::Open({.root = dir_.path() / "images"}))) {
  std::signal(SIGPIPE, SIG_IGN);
  std::filesystem::create_directories(runsc().parent_path());
  std::filesystem::copy_file(OrThrow(FindProgram("runsc")), runsc());
  drivers::OciOptions options;
  options.state_dir = dir_.path() / "state";
  options.run_dir = dir_.path() / "run";
  options.cgroup_parent = cgroup_parent_;
  options.starter_path = CLAW_STARTER;
  options.runtime = "runc";
  const auto add = [this](std::unique_ptr<drivers::Driver> driver) {
    drivers_.push_back(std::make_unique<FaultyDriver>(std::move(driver)));
  };
  add(std::make_unique<drivers::RuncDriver>(options, host_, *cgroups_, exits_));
  add(std::make_unique<drivers::LegacyDriver>(options, host_, *cgroups_, exits_));
  options.runtime = runsc();
  add(std::make_unique<drivers::GvisorDriver>(options, "", host_, *cgroups_, exits_));

  config.node_id = "node-under-test";
  config.capacity_bytes = 8 * kGiB;
  config.stop_grace = std::chrono::milliseconds(100);
  lifecycle::NodeDeps deps{.strand = strand_.get_executor(),
                           .pool = pool_,
                           .store = *store_,
                           .images = *images_,
                           .drivers = {},
                           .clock = clock_,
                           .host = host_,
                           .read_facts = std::move(read_facts)};
  for (const auto& driver : drivers_) deps.drivers.push_back(driver.get());
  node_ = std::make_unique<lifecycle::Node>(std::move(deps), std::move(config));
  thread_ = std::thread([this] {
    const auto busy = boost::asio::make_work_guard(strand_);
    strand_.run();
  });
  MustBe(Run(node_->Recover(store_->TakeSnapshot(), {})));
}

RealNode::~RealNode() {
  SetHook({});
  RemoveAll();
  Run(node_->Drain());
  pool_.Join();
  strand_.stop();
  thread_.join();
  for (const auto& driver : drivers_) {
    const auto ids = driver->List();
    for (const std::string& id : ids.value_or(std::vector<std::string>())) {
      driver->Destroy(id).IgnoreError();
    }
  }
  cgroups_->Remove(cgroup_parent_).IgnoreError();
}

void RealNode::SetHook(const FaultyDriver::Hook& hook) {
  for (const auto& driver : drivers_) driver->SetHook(hook);
}

Image RealNode::Import(const std::filesystem::path& root, const std::string& reference) {
  return OrThrow(
             Run(node_->ImportImage({}, StrCat("rootfs:", root.string()), reference, "", {}, {})))
      .front();
}

void RealNode::AddTenant(const std::string& name, Trust trust) {
  Tenant tenant;
  tenant.name = name;
  tenant.trust = trust;
  MustBe(Run(node_->CreateTenant({}, tenant)).status());
}

void RealNode::RemoveAll() {
  for (const Sandbox& sandbox : Ask([this] { return node_->ListSandboxes(); })) {
    Run(node_->DeleteSandbox({}, sandbox.id, true, true)).IgnoreError();
  }
}

std::vector<std::string> RealNode::Traces(IsolationClass isolation) {
  for (const auto& driver : drivers_) {
    if (driver->isolation() == isolation) return OrThrow(driver->List());
  }
  throw std::runtime_error("there is no such driver");
}

}  // namespace claw::test
