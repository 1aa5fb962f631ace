#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "agent/lifecycle/node.h"
#include "agent/rpc/context.h"
#include "drivers/fake/fake_driver.h"
#include "drivers/fake/fake_networks.h"
#include "store/store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_vms.h"
#include "tests/support/good_machine.h"
#include "tests/support/temp_dir.h"

namespace claw::test {

// Images that are there as soon as they are asked for. A source or reference with "missing" in it
// is not found. They are for amd64; with "both" in it there is one for arm64, too, with "arm64" in
// it there is only that.
class FakeImages final : public image::ImageStore {
 public:
  explicit FakeImages(std::filesystem::path root) : root_(std::move(root)) {}
  StatusOr<Image> Pull(const std::string& reference, const std::string& architecture, bool insecure,
                       const std::string& signer, const image::Progress& progress) override;
  StatusOr<Image> Import(const std::string& source, const std::string& architecture,
                         const std::string& reference, const std::string& signer,
                         const image::Progress& progress) override;
  StatusOr<std::unique_ptr<image::Incoming>> Receive(const Image& image) override;
  std::filesystem::path RootfsPath(const std::string& digest) const override;
  StatusOr<Scan> ScanDisk() override;
  Status Remove(const std::string& digest) override;

  // Bytes that came for the image of this digest; nothing if it was never received whole.
  std::optional<std::string> Received(const std::string& digest);
  // Waits until so many are under way; false: it does not come to that.
  bool AwaitIncoming(int count);
  // What Write answers from now on.
  void FailWrites(Status why);

 private:
  class Arriving;

  std::filesystem::path root_;
  std::mutex mutex_;
  std::map<std::string, Image> on_disk_;  // by digest
  std::map<std::string, std::string> received_;
  int incoming_ = 0;
  std::condition_variable changed_;
  Status write_failure_;
};

// A node on a machine that is not there: real store, fake drivers, images and clock, its strand on
// a thread. The machine is a good one until a test says otherwise.
class NodeFixture {
 public:
  // What is not in the config: an id, and memory of 8 GiB.
  explicit NodeFixture(lifecycle::NodeConfig config = {});
  ~NodeFixture();
  NodeFixture(const NodeFixture&) = delete;
  NodeFixture& operator=(const NodeFixture&) = delete;

  // Runs a coroutine on the strand and waits for it.
  template <typename T>
  T Run(lifecycle::Task<T> task) {
    return Begin(std::move(task)).get();
  }

  // The same, without waiting.
  template <typename T>
  std::future<T> Begin(lifecycle::Task<T> task) {
    return boost::asio::co_spawn(*strands_.back(), std::move(task), boost::asio::use_future);
  }

  // The agent ends, as when it is told to, and another one comes up on the same machine and store.
  void Restart();
  // The same, but it ends in the middle of whatever it does. `meanwhile` runs when nothing of the
  // agent does any more but the drivers' calls that are under way: it lets go of blocked steps.
  void Crash(const std::function<void()>& meanwhile = {});

  // The agent ends, and another one comes up after this was done to its records.
  void Damage(const std::string& sql);

  // What the machine's settings are from now on.
  void ChangeMachine(const std::function<void(MachineFacts&)>& change);

  // What the kernel says of memory from now on; calm with 8 GiB left until a test says otherwise.
  MemoryPressure ChangePressure(const std::function<void(MemoryPressure&)>& change);
  void FailPressure(Status why);

  // What the machine has of disk and tasks from now on; plenty until a test says otherwise.
  void ChangeRoom(const HostRoom& room);

  // Sets the limit around all sandboxes. Not while the node works.
  std::function<Status(int64_t bytes)> limit_memory;

  TempDir& dir() { return dir_; }
  lifecycle::NodeConfig& config() { return config_; }  // of the next life of the agent
  FakeClock& clock() { return *clock_; }
  drivers::FakeWorld& world() { return *world_; }
  network::FakeNetworks& networks() { return networks_; }
  FakeVms& vms() { return vms_; }
  FakeImages& images_on_disk() { return images_; }
  store::Store& store() { return *store_; }
  lifecycle::Node& node() { return *node_; }
  const rpc::Context& context() const { return *context_; }

 private:
  void Start();
  void Stop();
  void StopAtOnce(const std::function<void()>& meanwhile = {});
  void StartAgain(const std::function<void()>& before = {});

  TempDir dir_;
  lifecycle::NodeConfig config_;
  const std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();
  // One for each life of the agent. Before the world, whose waiters hold timers of them.
  std::vector<std::unique_ptr<boost::asio::io_context>> strands_;
  const std::shared_ptr<drivers::FakeWorld> world_ = std::make_shared<drivers::FakeWorld>(clock_);
  FakeImages images_;
  network::FakeNetworks networks_;
  FakeVms vms_;
  std::mutex machine_mutex_;
  MachineFacts machine_ = GoodMachine();
  StatusOr<MemoryPressure> pressure_ = MemoryPressure{.available_bytes = 8 * kGiB};
  HostRoom room_{.free_disk_bytes = 100 * kGiB, .free_tasks = 30'000};
  int shrunk_ = 0;
  // One life of the agent.
  std::unique_ptr<lifecycle::BlockingPool> pool_;
  std::unique_ptr<store::Store> store_;
  std::vector<std::unique_ptr<drivers::FakeDriver>> drivers_;
  std::unique_ptr<lifecycle::Node> node_;
  std::unique_ptr<rpc::Context> context_;
  std::thread thread_;
};

}  // namespace claw::test
