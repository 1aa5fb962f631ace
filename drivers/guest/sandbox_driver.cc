#include "drivers/guest/sandbox_driver.h"

#include "agent/model/json.h"
#include "drivers/guest/image_sender.h"
#include "drivers/guest/remote_io.h"
#include "drivers/guest/remote_log.h"

namespace claw::drivers {
namespace {

constexpr int kHandleVersion = 1;
constexpr int kPageSize = 1000;

std::string SandboxName(const std::string& id) { return StrCat("sandboxes/", id); }

bool IsMissing(const Status& status) { return status.code() == StatusCode::kNotFound; }

// As the guest is to see it: what has been decided on the host is not decided again by rules that
// only the host has.
Tenant TenantThere(Tenant tenant) {
  tenant.quota = {};
  tenant.network_policy.clear();
  return tenant;
}

Sandbox RecordThere(const LaunchSpec& launch, IsolationClass isolation) {
  Sandbox record;
  record.id = launch.id;
  record.spec = launch.guest->spec;
  SandboxSpec& spec = record.spec;
  // As it was resolved here: the guest adds nothing of its own.
  spec.command = launch.argv;
  spec.args.clear();
  spec.env = launch.env;
  spec.working_directory = launch.working_directory;
  spec.tty = launch.tty;
  spec.stdin_open = launch.stdin_open;
  spec.read_only_root = launch.read_only_root;
  spec.node_selector.clear();
  spec.tolerations.clear();
  spec.auto_remove = false;  // its host removes it
  if (isolation == IsolationClass::kGvisor) spec.isolation = isolation;
  return record;
}

class SandboxDriver final : public Driver {
 public:
  SandboxDriver(GuestClientPtr client, std::shared_ptr<ExitWatch> exits, IsolationClass isolation)
      : client_(std::move(client)), exits_(std::move(exits)), isolation_(isolation) {}

  std::string_view name() const override { return DriverNameOf(isolation_); }
  IsolationClass isolation() const override { return isolation_; }

  Fingerprint Probe() override {
    Fingerprint found;
    const auto node = Ask(*client_->node, &pb::NodeService::Stub::GetNode, pb::GetNodeRequest(),
                          "look at the guest's node");
    found.message = "the guest's agent has no such driver";
    if (!node.ok()) found.message = ToStd(node.status().message());
    if (!node.ok()) return found;
    for (const pb::DriverStatus& driver : node->drivers()) {
      if (driver.name() != name()) continue;
      found.healthy = driver.healthy();
      found.message = driver.message();
      found.runtime_path = driver.runtime_path();
      found.runtime_version = driver.runtime_version();
      found.platform = driver.platform();
      found.capabilities.assign(driver.capabilities().begin(), driver.capabilities().end());
      found.overhead_prior_bytes = driver.overhead_prior_bytes();
    }
    return found;
  }

  // The guest's agent watches its own.
  bool RuntimeChanged() const override { return false; }

  StatusOr<Created> Create(const LaunchSpec& spec) override {
    if (!spec.guest) return Internal("nothing says what the guest has to know of ", spec.id);
    const GuestFacts& facts = *spec.guest;
    if (!facts.spec.mounts.empty() || spec.network != NetworkMode::kNone) {
      return MakeError(StatusCode::kFailedPrecondition,
                       "mounts and networks of the host do not reach into a VM",
                       {.reason = "UNSUPPORTED_IN_VM", .constraint = "mounts, network"});
    }
    pb::PrepareSandboxRequest request;
    request.set_id(spec.id);
    request.set_tenant_record(ToJson(TenantThere(facts.tenant)));
    request.set_sandbox_record(ToJson(RecordThere(spec, isolation_)));
    request.set_image_digest(facts.image.digest);
    for (const CompatVerdict& verdict : facts.verdicts) {
      request.add_verdict_records(ToJson(verdict));
    }
    if (facts.compat_override) request.set_override_record(ToJson(*facts.compat_override));
    request.set_host_record(spec.record_json);
    StatusOr<pb::GuestSandbox> prepared = Prepare(request);
    if (HasReason(prepared.status(), "IMAGE_NOT_FOUND")) {
      RETURN_IF_ERROR(SendImage(*client_->guest, facts.image, spec.image_rootfs, nullptr).status());
      prepared = Prepare(request);
    }
    RETURN_IF_ERROR(prepared.status());
    ASSIGN_OR_RETURN(const Sandbox record, SandboxFromJson(prepared->sandbox_record()));
    if (record.isolation != isolation_ || record.image_digest != facts.image.digest) {
      Destroy(spec.id).IgnoreError();
      return MakeError(StatusCode::kFailedPrecondition,
                       StrCat("the guest would run it in class ", ToString(record.isolation),
                              ", with the image ", record.image_digest),
                       {.reason = "PROOF_FAILED",
                        .needed = StrCat(ToString(isolation_), ", ", facts.image.digest)});
    }
    return Created{.handle = HandleOf(spec.id), .memory = record.resources.memory};
  }

  StatusOr<std::string> Start(const DriverHandle& handle) override {
    pb::CommitRequest request;
    request.set_name(StrCat("reservations/", handle.data));
    request.set_request_id(StrCat("start-", handle.data));
    ASSIGN_OR_RETURN(const pb::Sandbox sandbox,
                     Ask(*client_->placement, &pb::PlacementService::Stub::Commit, request,
                         "start a sandbox in the guest", kLongCall));
    // It was asked before, and has been proven by the agent beside it: what is said here is that.
    return StrCat("in a guest: ", sandbox.runtime_proof());
  }

  Status Wait(const DriverHandle& handle, std::function<void(ExitObservation)> on_exit) override {
    exits_->Watch(handle.data, std::move(on_exit));
    return absl::OkStatus();
  }

  Status Kill(const DriverHandle& handle, int signal) override {
    pb::SignalSandboxRequest request;
    request.set_name(SandboxName(handle.data));
    request.set_signal(signal);
    const Status sent = Ask(*client_->sandboxes, &pb::SandboxService::Stub::SignalSandbox, request,
                            "send a signal into the guest")
                            .status();
    return IsMissing(sent) ? absl::OkStatus() : sent;
  }

  Status Destroy(const std::string& id) override {
    exits_->Forget(id);
    const StatusOr<Sandbox> record = Find(id);
    if (IsMissing(record.status())) return absl::OkStatus();
    RETURN_IF_ERROR(record.status());
    if (record->lease) {
      pb::ReleaseRequest release;
      release.set_name(StrCat("reservations/", id));
      release.set_allow_missing(true);
      return Ask(*client_->placement, &pb::PlacementService::Stub::Release, release,
                 "release a place in the guest")
          .status();
    }
    pb::StopSandboxRequest stop;
    stop.set_name(SandboxName(id));
    stop.mutable_grace_period();  // none
    const Status stopped = Ask(*client_->sandboxes, &pb::SandboxService::Stub::StopSandbox, stop,
                               "end a sandbox in the guest", kLongCall)
                               .status();
    if (IsMissing(stopped)) return absl::OkStatus();
    RETURN_IF_ERROR(stopped);
    pb::WaitSandboxRequest wait;
    wait.set_name(SandboxName(id));
    wait.set_until_released(true);
    const Status released = Ask(*client_->sandboxes, &pb::SandboxService::Stub::WaitSandbox, wait,
                                "wait for the guest to take a sandbox apart", kLongCall)
                                .status();
    return IsMissing(released) ? absl::OkStatus() : released;
  }

  Status Purge(const std::string& id) override {
    pb::DeleteSandboxRequest request;
    request.set_name(SandboxName(id));
    request.set_force(true);
    request.set_allow_missing(true);
    return Ask(*client_->sandboxes, &pb::SandboxService::Stub::DeleteSandbox, request,
               "remove a sandbox in the guest", kLongCall)
        .status();
  }

  StatusOr<Inspection> Inspect(const DriverHandle& handle) override {
    pb::GetSandboxRequest request;
    request.set_name(SandboxName(handle.data));
    const auto found = Ask(*client_->sandboxes, &pb::SandboxService::Stub::GetSandbox, request,
                           "look at a sandbox in the guest");
    Inspection inspection;
    if (IsMissing(found.status())) return inspection;
    RETURN_IF_ERROR(found.status());
    inspection.presence = IsOver(*found) ? Presence::kExited : Presence::kRunning;
    if (IsOver(*found)) inspection.exit = ToObservation(*found);
    return inspection;
  }

  StatusOr<Stats> GetStats(const DriverHandle& handle) override {
    pb::ListSandboxStatsRequest request;
    request.set_name(SandboxName(handle.data));
    ASSIGN_OR_RETURN(const pb::ListSandboxStatsResponse answer,
                     Ask(*client_->sandboxes, &pb::SandboxService::Stub::ListSandboxStats, request,
                         "measure a sandbox in the guest"));
    if (answer.stats().empty()) return NotFound("sandbox ", handle.data, " does not run");
    const pb::SandboxStats& found = answer.stats(0);
    return Stats{.memory_usage_bytes = found.memory_usage_bytes(),
                 .application_bytes = found.application_bytes(),
                 .overhead_bytes = found.overhead_bytes(),
                 .page_cache_bytes = found.page_cache_bytes(),
                 .supervisor_bytes = found.supervisor_bytes(),
                 .memory_peak_bytes = found.memory_peak_bytes(),
                 .memory_limit_bytes = found.memory_limit_bytes(),
                 .cpu_usage_micros = found.cpu_usage_micros(),
                 .pids = found.pids(),
                 .limit_hits = found.limit_hits()};
  }

  StatusOr<std::vector<std::string>> List() override {
    std::vector<std::string> ids;
    pb::ListSandboxesRequest request;
    request.set_page_size(kPageSize);
    do {
      ASSIGN_OR_RETURN(const pb::ListSandboxesResponse page,
                       Ask(*client_->sandboxes, &pb::SandboxService::Stub::ListSandboxes, request,
                           "list the guest's sandboxes"));
      for (const pb::Sandbox& sandbox : page.sandboxes()) {
        if (sandbox.driver() != name()) continue;
        ids.push_back(sandbox.name().substr(sandbox.name().find('/') + 1));
      }
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return ids;
  }

  StatusOr<Recovered> Recover(const std::string& id) override {
    ASSIGN_OR_RETURN(const pb::GuestSandbox found, Get(id));
    return Recovered{.record_json = found.host_record(), .handle = HandleOf(id), .process = {}};
  }

  StatusOr<SyscallReport> ReadSyscalls(const std::string& /*id*/) override {
    return Unimplemented("the agent in the guest tests images by itself");
  }
  int64_t SyscallLogBytes(const std::string& /*id*/) const override { return 0; }

  StatusOr<std::unique_ptr<LogReader>> OpenLog(const DriverHandle& handle) override {
    return OpenRemoteLog(client_, handle.data);
  }
  StatusOr<UniqueFd> OpenInput(const DriverHandle& handle) override {
    return OpenRemoteInput(client_, handle.data);
  }
  Status ResizeTerminal(const DriverHandle& handle, int rows, int columns) override {
    return ResizeRemoteTerminal(client_, handle.data, rows, columns);
  }
  StatusOr<std::unique_ptr<ExecSession>> Exec(const DriverHandle& handle,
                                              const ExecSpec& spec) override {
    return ExecRemotely(client_, handle.data, spec);
  }

 private:
  DriverHandle HandleOf(const std::string& id) const {
    return {.driver = std::string(name()), .version = kHandleVersion, .data = id};
  }

  StatusOr<pb::GuestSandbox> Prepare(const pb::PrepareSandboxRequest& request) const {
    return Ask(*client_->guest, &pb::GuestService::Stub::PrepareSandbox, request,
               "reserve a place in the guest");
  }

  StatusOr<pb::GuestSandbox> Get(const std::string& id) const {
    pb::GetGuestSandboxRequest request;
    request.set_id(id);
    return Ask(*client_->guest, &pb::GuestService::Stub::GetGuestSandbox, request,
               "look at a sandbox in the guest");
  }

  StatusOr<Sandbox> Find(const std::string& id) const {
    ASSIGN_OR_RETURN(const pb::GuestSandbox found, Get(id));
    return SandboxFromJson(found.sandbox_record());
  }

  const GuestClientPtr client_;
  const std::shared_ptr<ExitWatch> exits_;
  const IsolationClass isolation_;
};

}  // namespace

std::unique_ptr<Driver> MakeSandboxDriver(GuestClientPtr client, std::shared_ptr<ExitWatch> exits,
                                          IsolationClass isolation) {
  return std::make_unique<SandboxDriver>(std::move(client), std::move(exits), isolation);
}

}  // namespace claw::drivers
