#pragma once

#include <spdlog/logger.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <memory>
#include <vector>

#include "agent/app/command_line.h"
#include "agent/app/host_runtimes.h"
#include "agent/app/pressure_watch.h"
#include "agent/app/service_manager.h"
#include "agent/lifecycle/node.h"
#include "agent/metrics/server.h"
#include "agent/rpc/server.h"
#include "drivers/image/image_store.h"
#include "store/store.h"

namespace claw {

// Everything the agent is made of, and its life from the start to the end of the process.
class Daemon {
 public:
  // Folders, store, images, drivers. Errors say what to do about them.
  static StatusOr<std::unique_ptr<Daemon>> Make(CommandLine command_line, std::string version,
                                                std::shared_ptr<spdlog::logger> logger);
  // For Make.
  Daemon(CommandLine command_line, std::string version, std::shared_ptr<spdlog::logger> logger);
  ~Daemon();

  // What the init of a guest takes for the wish to be switched off.
  static constexpr int kPowerOff = 99;

  // Recovers, serves, and drains on a signal. Answers with the exit code: 0, 1 or kPowerOff.
  // Sandboxes go on running.
  int Run();

 private:
  Status Build();
  std::vector<image::Signer> Signers() const;
  Status MakeFolders();
  Status OpenStore();
  Status MakeNode();

  lifecycle::Task<Status> Live();
  Status ServeMetrics();  // if the config says where
  lifecycle::Task<void> StopServer();
  lifecycle::Task<void> HandleSignals();
  lifecycle::Task<void> LogEvents();
  void ReloadLogLevel();
  // Ends the agent; what started it switches the machine off.
  void PowerOff();
  void Restart(bool at_once);
  lifecycle::Task<void> LookAtPressure();

  const CommandLine command_line_;
  const Config& config_;
  const std::string version_;
  const std::shared_ptr<spdlog::logger> logger_;
  const ServiceManager manager_;
  SystemClock clock_;
  host::HostInfo host_;

  // From here on the order matters: what stands below uses what stands above.
  boost::asio::io_context strand_{1};  // run by one thread: that is the strand
  boost::asio::signal_set signals_;
  lifecycle::Notifier stop_asked_;
  bool stopping_ = false;
  bool power_off_ = false;
  bool recovered_ = false;  // the node knows what runs
  std::unique_ptr<lifecycle::BlockingPool> pool_;
  std::unique_ptr<lifecycle::BlockingPool> guest_pool_;  // null: there are no VMs
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<image::ImageStore> images_;
  std::unique_ptr<HostRuntimes> runtimes_;
  std::unique_ptr<lifecycle::Node> node_;
  std::unique_ptr<PressureWatch> pressure_watch_;
  std::unique_ptr<rpc::Context> context_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<metrics::Server> metrics_;
};

}  // namespace claw
