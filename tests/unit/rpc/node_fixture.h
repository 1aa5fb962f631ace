#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <memory>
#include <thread>

#include "agent/lifecycle/node.h"
#include "agent/rpc/context.h"
#include "drivers/fake/fake_driver.h"
#include "store/store.h"
#include "tests/support/temp_dir.h"

namespace claw::test {

// Images that are there as soon as they are asked for. A source or reference with "missing" in it
// is not found.
class FakeImages final : public image::ImageStore {
 public:
  explicit FakeImages(std::filesystem::path root) : root_(std::move(root)) {}
  StatusOr<Image> Pull(const std::string& reference, bool insecure,
                       const image::Progress& progress) override;
  StatusOr<Image> Import(const std::string& source, const std::string& reference,
                         const image::Progress& progress) override;
  std::filesystem::path RootfsPath(const std::string& digest) const override;
  StatusOr<Scan> ScanDisk() override { return Scan{}; }
  Status Remove(const std::string& digest) override;

 private:
  std::filesystem::path root_;
};

// A node on a machine that is not there: real store, fake drivers and images, its strand on a
// thread.
class NodeFixture {
 public:
  NodeFixture();
  ~NodeFixture();
  NodeFixture(const NodeFixture&) = delete;
  NodeFixture& operator=(const NodeFixture&) = delete;

  // Runs a coroutine on the strand and waits for it.
  template <typename T>
  T Run(lifecycle::Task<T> task) {
    return boost::asio::co_spawn(strand_, std::move(task), boost::asio::use_future).get();
  }

  // The same, without waiting.
  template <typename T>
  std::future<T> Begin(lifecycle::Task<T> task) {
    return boost::asio::co_spawn(strand_, std::move(task), boost::asio::use_future);
  }

  TempDir& dir() { return dir_; }
  drivers::FakeWorld& world() { return *world_; }
  store::Store& store() { return *store_; }
  lifecycle::Node& node() { return *node_; }
  const rpc::Context& context() const { return *context_; }

 private:
  TempDir dir_;
  SystemClock clock_;
  // Before the world, whose waiters hold timers of it.
  boost::asio::io_context strand_;
  std::shared_ptr<drivers::FakeWorld> world_ = std::make_shared<drivers::FakeWorld>();
  std::unique_ptr<lifecycle::BlockingPool> pool_;
  std::unique_ptr<store::Store> store_;
  FakeImages images_;
  drivers::FakeDriver runc_;
  drivers::FakeDriver gvisor_;
  drivers::FakeDriver hardened_;
  std::unique_ptr<lifecycle::Node> node_;
  std::unique_ptr<rpc::Context> context_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> busy_;
  std::thread thread_;
};

}  // namespace claw::test
