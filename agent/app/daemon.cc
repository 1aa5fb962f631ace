#include "agent/app/daemon.h"

#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <csignal>
#include <cstdlib>

#include "agent/app/log.h"
#include "agent/app/node_config.h"
#include "agent/app/vm_keys.h"
#include "agent/base/file.h"
#include "agent/base/unix_socket.h"
#include "agent/host/hardening.h"
#include "agent/host/room.h"
#include "agent/host/system_clock.h"
#include "agent/metrics/exposition.h"

namespace claw {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using lifecycle::Task;

constexpr size_t kMaxQueuedWork = 1024;
// For calls that are nearly done when the agent is told to end.
constexpr auto kShutdownGrace = std::chrono::seconds(1);

// Enough that some image pulls do not keep everything else waiting.
size_t PoolThreads(int cpus) { return static_cast<size_t>(std::clamp(4 * cpus, 8, 32)); }

// Adds what to do about it to errors that have an obvious cure.
Status Advise(const Status& status, std::string_view doing, std::string_view advice) {
  if (status.ok()) return status;
  return Annotate(status, StrCat(doing, " (", advice, ")"));
}

}  // namespace

StatusOr<std::unique_ptr<Daemon>> Daemon::Make(CommandLine command_line, std::string version,
                                               std::shared_ptr<spdlog::logger> logger) {
  auto daemon =
      std::make_unique<Daemon>(std::move(command_line), std::move(version), std::move(logger));
  RETURN_IF_ERROR(daemon->Build());
  return daemon;
}

Daemon::Daemon(CommandLine command_line, std::string version,
               std::shared_ptr<spdlog::logger> logger)
    : command_line_(std::move(command_line)),
      config_(command_line_.config),
      version_(std::move(version)),
      logger_(std::move(logger)),
      manager_(ServiceManager::FromEnvironment()),
      signals_(strand_, SIGTERM, SIGINT, SIGHUP),
      stop_asked_(strand_.get_executor()) {}

Daemon::~Daemon() {
  // Work on the pool may refer to anything here, and hands its results to the strand.
  if (pool_) pool_->Join();
  if (guest_pool_) guest_pool_->Join();
}

Status Daemon::Build() {
  ASSIGN_OR_RETURN(host_, host::ReadHostInfo());
  pool_ = std::make_unique<lifecycle::BlockingPool>(PoolThreads(host_.cpus), kMaxQueuedWork);
  if (config_.vm.enabled) {
    guest_pool_ =
        std::make_unique<lifecycle::BlockingPool>(PoolThreads(host_.cpus), kMaxQueuedWork);
  }
  RETURN_IF_ERROR(MakeFolders());
  RETURN_IF_ERROR(OpenStore());
  StatusOr<std::unique_ptr<image::ImageStore>> images =
      image::ImageStore::Open({.root = config_.state_dir / "images",
                               .max_image_bytes = config_.image_max_bytes,
                               .max_image_files = config_.image_max_files,
                               .min_free_disk_bytes = config_.image_min_free_bytes,
                               .signers = Signers()});
  if (!images.ok()) return Annotate(images.status(), "open the image store");
  images_ = *std::move(images);
  ASSIGN_OR_RETURN(runtimes_, HostRuntimes::Make(config_, host_));
  return MakeNode();
}

std::vector<image::Signer> Daemon::Signers() const {
  std::vector<image::Signer> signers;
  for (const auto& [name, signer] : config_.signers) {
    signers.push_back({.name = name, .key_file = signer.key, .signatures_url = signer.signatures});
    // The others go on; whoever asks for this one is refused.
    const Status usable = image::FindSigner(signers, name).status();
    if (!usable.ok()) logger_->warn("{}", ToStd(usable.message()));
  }
  return signers;
}

Status Daemon::MakeFolders() {
  RETURN_IF_ERROR(Advise(EnsureDirectory(config_.state_dir, 0700), "make the state folder",
                         "--state-dir or node.state_dir chooses another"));
  RETURN_IF_ERROR(Advise(EnsureDirectory(config_.run_dir, 0711), "make the run folder",
                         "--run-dir or node.run_dir chooses another"));
  struct stat info {};
  if (::stat(config_.state_dir.c_str(), &info) == 0 && (info.st_mode & 0077) != 0) {
    logger_->warn("others may look into {}; chmod it to 0700", config_.state_dir.string());
  }
  if (::stat(config_.run_dir.c_str(), &info) == 0 && (info.st_mode & 0001) == 0) {
    logger_->warn("sandboxes cannot pass through {}; chmod it to 0711", config_.run_dir.string());
  }
  // The server looks again; here it saves a second agent the way there.
  return ClearSocketPath(config_.SocketPath());
}

Status Daemon::OpenStore() {
  StatusOr<std::unique_ptr<store::Store>> store =
      store::Store::Open({.path = config_.state_dir / "clawlet.db"});
  if (!store.ok()) return store.status();
  store_ = *std::move(store);
  for (const store::Quarantined& item : store_->quarantined()) {
    logger_->error("{} could not be read and was set aside ({}): {}", item.what, item.where,
                   item.why);
  }
  return absl::OkStatus();
}

Status Daemon::MakeNode() {
  ASSIGN_OR_RETURN(lifecycle::NodeConfig config, MakeNodeConfig(config_, host_));
  lifecycle::NodeDeps deps{
      .strand = strand_.get_executor(),
      .pool = *pool_,
      .store = *store_,
      .images = *images_,
      .drivers = runtimes_->drivers(),
      .clock = clock_,
      .host = host_,
      .networks = runtimes_->networks(),
      .read_facts =
          [state = config_.state_dir, run = config_.run_dir] {
            return host::ReadMachineFacts({.state_dir = state, .run_dir = run});
          },
      .limit_memory =
          [this](int64_t bytes) { return runtimes_->LimitMemory(bytes, *pressure_watch_); },
      .read_pressure = [this] { return runtimes_->ReadPressure(*pressure_watch_); },
      .read_room = [state = config_.state_dir] { return host::ReadRoom(state); },
      .shrink_caches = [this] { return runtimes_->ShrinkCaches(); },
      .vms = MakeVmDeps(config_, version_, clock_),
      .guest_pool = guest_pool_.get()};
  logger_->info("clawlet {} on {}: {} of memory, {} for tenants, cgroups {} ({})", version_,
                config.node_id, FormatBytes(config.capacity_bytes),
                FormatBytes(budget::Allocatable(config.capacity_bytes, config.reserves)),
                InstanceName(config_.state_dir), runtimes_->cgroup_mode());
  if (!host_.hardware.empty()) logger_->info("this is {}", host_.hardware);
  const double stall = config.dial.shrink_at;
  node_ = std::make_unique<lifecycle::Node>(std::move(deps), std::move(config));
  pressure_watch_ =
      std::make_unique<PressureWatch>(strand_.get_executor(), [this] { return LookAtPressure(); });
  const Status watched = pressure_watch_->WatchStall(stall);
  // Then it is looked before each start and with each measurement only.
  if (!watched.ok()) logger_->warn("the kernel will not tell of stalls: {}", ToLogString(watched));
  context_ = std::make_unique<rpc::Context>(rpc::Context{
      .strand = strand_.get_executor(),
      .node = *node_,
      .pool = *pool_,
      .clock = clock_,
      .agent_version = version_,
      .cgroup_mode = runtimes_->cgroup_mode(),
      .role = config_.role,
      .guest = {.set_clock = host::SetClock,
                .power_off = [this] { PowerOff(); },
                .restart = [this](bool at_once) { Restart(at_once); },
                .images = images_.get()},
      .log_fault = [logger = logger_](const std::string& fault) { logger->error("{}", fault); }});
  return absl::OkStatus();
}

int Daemon::Run() {
  Status outcome = Internal("the agent ended for no known reason");
  asio::co_spawn(strand_, HandleSignals(), asio::detached);
  asio::co_spawn(strand_, Live(), [&](const std::exception_ptr& exception, Status status) {
    outcome = exception ? Internal("an exception") : std::move(status);
    strand_.stop();
  });
  strand_.run();
  // What the pool still has under way hands in its results.
  pool_->Join();
  if (guest_pool_) guest_pool_->Join();
  strand_.restart();
  strand_.poll();
  const Status removed = runtimes_->RemoveOwnCgroup();
  if (!removed.ok()) {
    logger_->warn("the cgroup {} stays: {}", InstanceName(config_.state_dir), ToLogString(removed));
  }
  if (!outcome.ok()) logger_->error("{}", ToLogString(outcome));
  logger_->flush();
  if (!outcome.ok()) return 1;
  return power_off_ ? kPowerOff : 0;
}

// Whoever keeps the agent running starts it anew.
void Daemon::Restart(bool at_once) {
  logger_->info("told to end, to be started anew{}", at_once ? ", at once" : "");
  if (at_once) std::raise(SIGKILL);
  stopping_ = true;
  stop_asked_.NotifyAll();
}

void Daemon::PowerOff() {
  logger_->info("told to end, and to switch the machine off");
  power_off_ = true;
  stopping_ = true;
  stop_asked_.NotifyAll();
}

Task<void> Daemon::LookAtPressure() {
  // Before, nothing may be done to what runs; it is looked with each start and measurement, too.
  if (recovered_) co_await node_->LookAtPressure();
}

Task<Status> Daemon::Live() {
  manager_.SetStatus("looking at the runtimes and at what runs");
  asio::co_spawn(strand_, LogEvents(), asio::detached);
  const Status recovered = co_await node_->Recover(store_->TakeSnapshot(), store_->quarantined());
  if (!recovered.ok()) co_return Annotate(recovered, "recover");
  recovered_ = true;
  for (const std::string& condition : node_->conditions()) logger_->warn("{}", condition);

  if (!stopping_) {
    rpc::ServerOptions options{.socket = config_.SocketPath(), .tls = {}};
    if (!config_.tls.listen.empty()) {
      options.tls = rpc::TlsListen{.address = config_.tls.listen,
                                   .certificate = config_.tls.certificate,
                                   .key = config_.tls.key,
                                   .client_ca = config_.tls.client_ca};
    }
    auto server = rpc::Server::Start(options, *context_);
    if (!server.ok()) co_return server.status();
    server_ = *std::move(server);
    logger_->info("serving on {}", config_.SocketPath().string());
    if (options.tls) logger_->info("serving with TLS on {}", options.tls->address);
    const Status told = ServeMetrics();
    if (!told.ok()) {
      co_await StopServer();
      co_return told;
    }
    manager_.SetStatus("serving");
    manager_.Ready();
  }
  while (!stopping_) co_await stop_asked_.Wait();

  manager_.Stopping();
  manager_.SetStatus("waiting for what is under way");
  if (server_) server_->SetServing(false);
  pressure_watch_->Stop();
  co_await node_->Drain();
  if (server_) co_await StopServer();
  if (metrics_) metrics_->Stop();
  logger_->info("the agent ends; sandboxes go on running");
  co_return absl::OkStatus();
}

Status Daemon::ServeMetrics() {
  if (config_.metrics_listen.empty()) return absl::OkStatus();
  metrics::Sources sources{.prepare = [this] { return node_->network().Total(); },
                           .metrics = [this] { return metrics::Expose(*node_, version_); },
                           .conditions = [this] { return node_->conditions(); }};
  ASSIGN_OR_RETURN(metrics_, metrics::Server::Start(strand_.get_executor(), config_.metrics_listen,
                                                    std::move(sources)));
  logger_->info("metrics on {}", metrics_->address());
  return absl::OkStatus();
}

Task<void> Daemon::StopServer() {
  bool done = false;
  lifecycle::Notifier finished(strand_.get_executor());
  server_->Shutdown(kShutdownGrace, [&] {
    asio::post(strand_, [&] {
      done = true;
      finished.NotifyAll();
    });
  });
  while (!done) co_await finished.Wait();
}

Task<void> Daemon::HandleSignals() {
  for (;;) {
    boost::system::error_code error;
    const int signal =
        co_await signals_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    if (signal == SIGHUP) {
      ReloadLogLevel();
    } else if (stopping_) {
      logger_->warn("told to end a second time: the agent ends at once");
      logger_->flush();
      std::_Exit(1);  // the store takes it as it takes a power cut
    } else {
      logger_->info("told to end by signal {}", signal);
      stopping_ = true;
      stop_asked_.NotifyAll();
    }
  }
}

Task<void> Daemon::LogEvents() {
  for (;;) {
    const auto events = node_->Subscribe();
    StatusOr<Event> event = co_await events->Next();
    for (; event.ok(); event = co_await events->Next()) {
      logger_->info("{} {}: {}", event->type, event->subject, event->message);
    }
    if (event.status().code() == StatusCode::kCancelled) co_return;
    logger_->warn("some events are missing here; they are in the store");
  }
}

void Daemon::ReloadLogLevel() {
  if (command_line_.config_file.empty() || command_line_.log_level_given) {
    logger_->info("SIGHUP: the log level is not taken from a file; nothing to reload");
    return;
  }
  const StatusOr<Config> config = LoadConfig(command_line_.config_file);
  if (!config.ok()) {
    logger_->error("SIGHUP: the config is left as it was:\n{}",
                   std::string(config.status().message()));
    return;
  }
  SetLogLevel(*logger_, config->log_level);
  logger_->warn("SIGHUP: log level {}; other changes take a restart", config->log_level);
}

}  // namespace claw
