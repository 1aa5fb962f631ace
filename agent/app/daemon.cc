#include "agent/app/daemon.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <csignal>
#include <cstdlib>

#include "agent/app/log.h"
#include "agent/app/network_keys.h"
#include "agent/app/node_config.h"
#include "agent/app/vm_keys.h"
#include "agent/base/file.h"
#include "agent/base/unix_socket.h"
#include "agent/host/hardening.h"
#include "agent/host/pressure.h"
#include "agent/host/room.h"
#include "agent/host/system_clock.h"
#include "agent/metrics/exposition.h"
#include "drivers/gvisor/gvisor_driver.h"
#include "drivers/runc/legacy_driver.h"
#include "drivers/runc/runc_driver.h"

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

// Beside the agent where it was built, in libexec where it was installed.
fs::path FindStarter(const Config& config) {
  if (!config.starter.empty()) return config.starter;
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  fs::path beside = folder / "clawlet-starter";
  if (fs::exists(beside, error)) return beside;
  fs::path installed = folder.parent_path() / "libexec/clawlet/clawlet-starter";
  return fs::exists(installed, error) ? installed : beside;
}

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
}

Status Daemon::Build() {
  ASSIGN_OR_RETURN(host_, host::ReadHostInfo());
  ASSIGN_OR_RETURN(cgroups_, host::Cgroups::Detect());
  pool_ = std::make_unique<lifecycle::BlockingPool>(PoolThreads(host_.cpus), kMaxQueuedWork);
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
  MakeDrivers();
  RETURN_IF_ERROR(MakeNetworks());
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

void Daemon::MakeDrivers() {
  exits_ = std::make_unique<drivers::ExitWatcher>();
  drivers::OciOptions options{.state_dir = config_.state_dir / "sandboxes",
                              .run_dir = config_.run_dir,
                              .cgroup_parent = InstanceName(config_.state_dir),
                              .starter_path = FindStarter(config_),
                              .runtime = config_.runc.path,
                              .conmon = config_.conmon,
                              .log_max_bytes = config_.sandbox_log_bytes};
  if (config_.runc.enabled) {
    drivers_.push_back(std::make_unique<drivers::RuncDriver>(options, host_, *cgroups_, *exits_));
    drivers_.push_back(std::make_unique<drivers::LegacyDriver>(options, host_, *cgroups_, *exits_));
  }
  options.runtime = config_.gvisor.path;
  if (config_.gvisor.enabled) {
    drivers_.push_back(std::make_unique<drivers::GvisorDriver>(options, config_.gvisor.platform,
                                                               host_, *cgroups_, *exits_));
  }
}

Status Daemon::MakeNetworks() {
  if (!config_.network.enabled) return absl::OkStatus();
  ASSIGN_OR_RETURN(network::NetworkConfig config,
                   MakeNetworkConfig(config_, ReadFile("/etc/resolv.conf", 65536).value_or("")));
  networks_ = network::MakeNetworks(std::move(config));
  return absl::OkStatus();
}

Status Daemon::MakeNode() {
  ASSIGN_OR_RETURN(lifecycle::NodeConfig config, MakeNodeConfig(config_, host_));
  lifecycle::NodeDeps deps{
      .strand = strand_.get_executor(),
      .pool = *pool_,
      .store = *store_,
      .images = *images_,
      .drivers = {},
      .clock = clock_,
      .host = host_,
      .networks = networks_.get(),
      .read_facts =
          [state = config_.state_dir, run = config_.run_dir] {
            return host::ReadMachineFacts({.state_dir = state, .run_dir = run});
          },
      .limit_memory = [this](int64_t bytes) { return LimitMemory(bytes); },
      .read_pressure = [this] { return ReadPressure(); },
      .read_room = [state = config_.state_dir] { return host::ReadRoom(state); },
      .shrink_caches = [this] { return ShrinkCaches(); },
      .vms = MakeVmDeps(config_, version_, clock_)};
  for (const auto& driver : drivers_) deps.drivers.push_back(driver.get());
  logger_->info("clawlet {} on {}: {} of memory, {} for tenants, cgroups {} ({})", version_,
                config.node_id, FormatBytes(config.capacity_bytes),
                FormatBytes(budget::Allocatable(config.capacity_bytes, config.reserves)),
                InstanceName(config_.state_dir), std::string(cgroups_->mode()));
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
      .cgroup_mode = std::string(cgroups_->mode()),
      .role = config_.role,
      .guest = {.set_clock = host::SetClock, .power_off = [this] { PowerOff(); }},
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
  strand_.restart();
  strand_.poll();
  RemoveOwnCgroup();
  if (!outcome.ok()) logger_->error("{}", ToLogString(outcome));
  logger_->flush();
  if (!outcome.ok()) return 1;
  return power_off_ ? kPowerOff : 0;
}

void Daemon::PowerOff() {
  logger_->info("told to end, and to switch the machine off");
  power_off_ = true;
  stopping_ = true;
  stop_asked_.NotifyAll();
}

Status Daemon::LimitMemory(int64_t bytes) {
  const std::string own = InstanceName(config_.state_dir);
  // What sandboxes are in keeps running: the kernel refuses a limit below what they use.
  RETURN_IF_ERROR(cgroups_->Children(own).empty()
                      ? cgroups_->Create(own, {.memory_max_bytes = bytes})
                      : cgroups_->SetMemoryMax(own, bytes));
  // It may have been made anew; a kernel that does not tell is asked with each look all the same.
  StatusOr<UniqueFd> want = cgroups_->WatchOom(own);
  if (want.ok()) pressure_watch_->WatchOom(*std::move(want), cgroups_->mode() == "v2");
  ASSIGN_OR_RETURN(const host::CgroupLimits limits, cgroups_->ReadLimits(own));
  return Annotate(host::CheckMemoryMax(limits, bytes, host_.page_size_bytes),
                  StrCat("cgroup ", own));
}

Task<void> Daemon::LookAtPressure() {
  // Before, nothing may be done to what runs; it is looked with each start and measurement, too.
  if (recovered_) co_await node_->LookAtPressure();
}

StatusOr<MemoryPressure> Daemon::ReadPressure() {
  ASSIGN_OR_RETURN(MemoryPressure pressure, host::ReadMemoryPressure());
  pressure.group_ooms = pressure_watch_->ooms();
  // Without a cgroup there are no sandboxes that could be at its limit.
  const auto usage = cgroups_->ReadUsage(InstanceName(config_.state_dir));
  if (usage.status().code() == StatusCode::kNotFound) return pressure;
  if (!usage.ok()) return usage.status();
  pressure.group_limit_hits = usage->own_limit_hits;
  pressure.group_ooms += usage->own_ooms;
  return pressure;
}

std::string Daemon::ShrinkCaches() {
  const std::string own = InstanceName(config_.state_dir);
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
  const auto before = cgroups_->ReadUsage(own);
  if (!before.ok() || before->page_cache_bytes <= 0) return "";
  // Not all of it: programs that run are in there, too, and would be read again at once.
  const Status reclaimed = cgroups_->Reclaim(own, before->page_cache_bytes / 4);
  const auto after = cgroups_->ReadUsage(own);
  if (!reclaimed.ok() || !after.ok()) return "";
  return StrCat("page cache of sandboxes: ", FormatBytes(before->page_cache_bytes), " before, ",
                FormatBytes(after->page_cache_bytes), " now");
}

void Daemon::RemoveOwnCgroup() {
  const std::string own = InstanceName(config_.state_dir);
  for (const std::string& driver : cgroups_->Children(own)) {
    // Sandboxes that go on running.
    if (!cgroups_->Children(StrCat(own, "/", driver)).empty()) return;
  }
  const Status removed = cgroups_->Remove(own);
  if (!removed.ok()) logger_->warn("the cgroup {} stays: {}", own, ToLogString(removed));
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
