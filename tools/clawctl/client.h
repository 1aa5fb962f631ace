#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"
#include "claw/node/v1/compat.pb.h"
#include "claw/node/v1/event.pb.h"
#include "claw/node/v1/image.pb.h"
#include "claw/node/v1/network.pb.h"
#include "claw/node/v1/node.pb.h"
#include "claw/node/v1/placement.pb.h"
#include "claw/node/v1/sandbox.pb.h"
#include "claw/node/v1/tenant.pb.h"
#include "claw/node/v1/vm.pb.h"

namespace claw::ctl {

namespace pb = claw::node::v1;

struct ClientOptions {
  std::string socket;
  // For a call with one answer, its retries included. 0: none.
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  // The caller asked for that timeout: it then binds logs, events, transfers and waits as well.
  bool timeout_is_explicit = false;
  // Told, one line each, when a call is sent again …
  std::function<void(std::string_view)> notice = [](std::string_view) {};
  // … and, for -v, about every call.
  std::function<void(std::string_view)> trace = [](std::string_view) {};
};

// A program's terminal or pipes. Read belongs to one thread, the senders to one other, Cancel to
// any.
class ProgramStream {
 public:
  virtual ~ProgramStream() = default;
  // False once the stream has ended; then Finish says how.
  virtual bool Read(pb::AttachResponse* response) = 0;
  // They block while the program does not read, and answer false once the stream has ended.
  virtual bool SendInput(std::string data) = 0;
  virtual bool CloseInput() = 0;
  virtual bool Resize(const pb::TerminalSize& size) = 0;
  virtual Status Finish() = 0;
  virtual void Cancel() = 0;
};

// The agent's API, with errors as claw::Status and their typed detail. Thread-safe. Connects with
// the first call. A call that is answered UNAVAILABLE is sent again a few times as it is, with the
// same request id; what cannot be reached at all fails at once (reason AGENT_UNREACHABLE).
class Client {
 public:
  explicit Client(ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] const ClientOptions& options() const { return options_; }

  // Ends the calls that are under way in other threads: they answer CANCELLED.
  void CancelCalls();

  StatusOr<pb::Node> GetNode();
  StatusOr<pb::CheckNodeResponse> CheckNode();
  StatusOr<pb::Budget> GetBudget(const pb::GetBudgetRequest& request);
  StatusOr<pb::CapacityPlan> PlanCapacity(const pb::PlanCapacityRequest& request);

  StatusOr<pb::Node> CordonNode(pb::CordonNodeRequest request);
  StatusOr<pb::Node> UncordonNode();
  Status WatchNode(const pb::WatchNodeRequest& request,
                   const std::function<void(const pb::NodeChange&)>& on_change);

  StatusOr<std::vector<pb::Target>> ListTargets();
  StatusOr<pb::ExplainResponse> Explain(const pb::ExplainRequest& request);
  StatusOr<pb::Reservation> Reserve(pb::ReserveRequest request);
  StatusOr<pb::Sandbox> Commit(pb::CommitRequest request);
  Status Release(pb::ReleaseRequest request);
  StatusOr<std::vector<pb::Reservation>> ListReservations();

  // Policies are named "networkPolicies/NAME" in these.
  StatusOr<pb::NamedNetworkPolicy> PutNetworkPolicy(pb::PutNetworkPolicyRequest request);
  StatusOr<pb::NamedNetworkPolicy> GetNetworkPolicy(const std::string& name);
  StatusOr<std::vector<pb::NamedNetworkPolicy>> ListNetworkPolicies();
  Status DeleteNetworkPolicy(pb::DeleteNetworkPolicyRequest request);
  StatusOr<pb::SandboxNetwork> SetSandboxNetwork(pb::SetSandboxNetworkRequest request);
  StatusOr<pb::SandboxNetwork> GetSandboxNetwork(const std::string& name);
  StatusOr<std::vector<pb::SandboxNetwork>> ListSandboxNetworks();

  // VMs are named "vms/NAME" in these.
  StatusOr<pb::ListVmsResponse> ListVms();
  StatusOr<pb::Vm> GetVm(const std::string& name);
  StatusOr<pb::Vm> CreateVm(pb::CreateVmRequest request);
  StatusOr<pb::Vm> StartVm(pb::StartVmRequest request,
                           const std::function<void(const pb::VmProgress&)>& on_progress);
  StatusOr<pb::Vm> StopVm(pb::StopVmRequest request);
  StatusOr<pb::Vm> RestartGuestAgent(pb::RestartGuestAgentRequest request);
  StatusOr<pb::Vm> SuspendVm(pb::SuspendVmRequest request);
  StatusOr<pb::Vm> DrainVm(pb::DrainVmRequest request);
  StatusOr<pb::Vm> CordonVm(pb::CordonVmRequest request);
  Status DeleteVm(pb::DeleteVmRequest request);
  Status StreamConsole(const pb::StreamConsoleRequest& request,
                       const std::function<void(const pb::ConsoleChunk&)>& on_chunk);
  StatusOr<pb::GuestImage> GetGuestImage();

  StatusOr<pb::Tenant> CreateTenant(pb::CreateTenantRequest request);
  StatusOr<pb::Tenant> GetTenant(const std::string& name);
  StatusOr<std::vector<pb::Tenant>> ListTenants();
  StatusOr<pb::Tenant> UpdateTenant(pb::UpdateTenantRequest request);
  Status DeleteTenant(pb::DeleteTenantRequest request);

  // Requests that change something get a random request_id here.
  StatusOr<pb::Sandbox> CreateSandbox(pb::CreateSandboxRequest request);
  StatusOr<pb::Sandbox> GetSandbox(const std::string& name);
  // Every page. `tenant` is "tenants/NAME" or empty.
  StatusOr<std::vector<pb::Sandbox>> ListSandboxes(const std::string& tenant, bool active_only);
  StatusOr<pb::Sandbox> StopSandbox(pb::StopSandboxRequest request);
  Status SignalSandbox(pb::SignalSandboxRequest request);
  Status DeleteSandbox(pb::DeleteSandboxRequest request);
  // No deadline unless the caller asked for one.
  StatusOr<pb::Sandbox> WaitSandbox(const std::string& name);
  StatusOr<std::vector<pb::SandboxStats>> ListSandboxStats(const std::string& name);

  Status StreamLogs(const pb::StreamLogsRequest& request,
                    const std::function<void(const pb::LogChunk&)>& on_chunk);
  std::unique_ptr<ProgramStream> Attach(const std::string& name);
  std::unique_ptr<ProgramStream> Exec(const pb::ExecSpec& spec);

  using OnProgress = std::function<void(const pb::ImageProgress&)>;
  // One for each platform.
  StatusOr<std::vector<pb::Image>> PullImage(pb::PullImageRequest request,
                                             const OnProgress& on_progress);
  StatusOr<std::vector<pb::Image>> ImportImage(pb::ImportImageRequest request,
                                               const OnProgress& on_progress);
  StatusOr<pb::Image> GetImage(const std::string& name);
  StatusOr<std::vector<pb::Image>> ListImages();
  Status DeleteImage(pb::DeleteImageRequest request);
  StatusOr<pb::CollectGarbageResponse> CollectGarbage(pb::CollectGarbageRequest request);

  // Images are named "images/sha256:…" or "images/REFERENCE" in these.
  StatusOr<pb::Verdict> TestImage(
      pb::TestImageRequest request,
      const std::function<void(const pb::TestImageProgress&)>& on_progress);
  StatusOr<pb::Verdict> GetVerdict(const std::string& image);
  StatusOr<std::vector<pb::Verdict>> ListVerdicts();
  StatusOr<pb::Verdict> AcceptVerdict(const std::string& image);
  Status DeleteVerdict(const std::string& image);
  StatusOr<pb::Override> CreateOverride(pb::CreateOverrideRequest request);
  StatusOr<std::vector<pb::Override>> ListOverrides();
  Status DeleteOverride(const std::string& image);

  StatusOr<std::vector<pb::Event>> ListEvents(const std::string& subject, int64_t after_revision);
  Status WatchEvents(const pb::WatchEventsRequest& request,
                     const std::function<void(const pb::Event&)>& on_event);
  // Hands on events that come from `after` this call until it is destroyed, on a thread of its own.
  // Whoever is quicker than that never asks for them; what goes wrong is not told.
  class Tail {
   public:
    Tail(Client& client, std::chrono::milliseconds after,
         std::function<void(const pb::Event&)> on_event);
    ~Tail();

   private:
    struct State;
    const std::unique_ptr<State> state_;
  };

 private:
  struct Impl;
  Impl& impl();

  ClientOptions options_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace claw::ctl
