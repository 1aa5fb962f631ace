#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent/host/cgroup.h"
#include "agent/lifecycle/node.h"
#include "drivers/oci/exit_watcher.h"
#include "store/store.h"
#include "tests/integration/isolation/faulty_driver.h"
#include "tests/support/temp_dir.h"

namespace claw::test {

// A whole node without its API: real runtimes, images and store. Its runsc is a file of its own, so
// that a test may take it away.
class RealNode {
 public:
  explicit RealNode(lifecycle::NodeConfig config = {},
                    std::function<StatusOr<MachineFacts>()> read_facts = {});
  ~RealNode();
  RealNode(const RealNode&) = delete;
  RealNode& operator=(const RealNode&) = delete;

  // Runs a coroutine on the strand and waits for it; Begin does not wait.
  template <typename T>
  T Run(lifecycle::Task<T> task) {
    return Begin(std::move(task)).get();
  }
  template <typename T>
  std::future<T> Begin(lifecycle::Task<T> task) {
    return boost::asio::co_spawn(strand_, std::move(task), boost::asio::use_future);
  }
  // Calls a function on the strand and waits for its answer.
  template <typename Fn>
  auto Ask(Fn fn) {
    return boost::asio::post(strand_, std::packaged_task<decltype(fn())()>(std::move(fn))).get();
  }

  lifecycle::Node& node() { return *node_; }
  const std::filesystem::path& dir() const { return dir_.path(); }
  std::filesystem::path runsc() const { return dir_.path() / "bin/runsc"; }

  void SetHook(const FaultyDriver::Hook& hook);
  Image Import(const std::filesystem::path& root, const std::string& reference);
  void AddTenant(const std::string& name, Trust trust);
  // Takes all that runs, and what is recorded of it, away.
  void RemoveAll();
  // Ids of what a driver has any trace of.
  std::vector<std::string> Traces(IsolationClass isolation);

 private:
  TempDir dir_;
  host::HostInfo host_;
  std::unique_ptr<host::Cgroups> cgroups_;
  std::string cgroup_parent_;
  drivers::ExitWatcher exits_;
  SystemClock clock_;
  boost::asio::io_context strand_;
  lifecycle::BlockingPool pool_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<image::ImageStore> images_;
  std::vector<std::unique_ptr<FaultyDriver>> drivers_;
  std::unique_ptr<lifecycle::Node> node_;
  std::thread thread_;
};

// The reason in an error's detail; empty: it has none.
inline std::string ReasonOf(const Status& status) {
  return GetErrorDetail(status).value_or(ErrorDetail{}).reason;
}

}  // namespace claw::test
