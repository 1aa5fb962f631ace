#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "claw/node/v1/common.pb.h"
#include "claw/node/v1/compat.pb.h"
#include "claw/node/v1/event.pb.h"
#include "claw/node/v1/image.pb.h"
#include "claw/node/v1/network.pb.h"
#include "claw/node/v1/node.pb.h"
#include "claw/node/v1/placement.pb.h"
#include "claw/node/v1/sandbox.pb.h"
#include "claw/node/v1/tenant.pb.h"
#include "claw/node/v1/vm.pb.h"

namespace claw::ctl::testing {

namespace pb = claw::node::v1;

// How a call is refused: a gRPC code, a message, and the typed detail of the trailer.
struct Refusal {
  int code = 0;
  std::string message;
  std::optional<pb::ErrorDetail> detail;
  // Of a placement; beside the detail.
  std::optional<pb::Explanation> explanation{};
};

// What the fake node holds and what it was asked. Tests change and read it while no call is under
// way, or under `mutex`.
struct FakeState {
  std::mutex mutex;
  std::condition_variable changed;

  pb::Node node;
  std::vector<pb::Tenant> tenants;
  std::vector<pb::Sandbox> sandboxes;
  std::vector<pb::Image> images;
  std::vector<pb::Event> events;
  std::vector<pb::SandboxStats> stats;
  std::vector<pb::ImageProgress> progress;
  pb::CheckNodeResponse checks;
  pb::Budget budget;
  pb::CapacityPlan plan;
  std::vector<pb::PlanCapacityRequest> plans;
  std::vector<pb::Target> targets;
  pb::ExplainResponse explanation;
  std::vector<pb::Reservation> reservations;
  // What WatchNode sends, as far as it is newer than what the caller has.
  std::vector<pb::NodeChange> changes;
  // One for each TestImage, in turn; then the test is refused as PROBE_BROKEN.
  std::vector<pb::Verdict> tests;
  std::vector<pb::Verdict> verdicts;
  std::vector<pb::Override> overrides;
  std::vector<pb::NamedNetworkPolicy> policies;
  std::vector<pb::SandboxNetwork> networks;
  std::vector<pb::Vm> vms;

  // Program of every sandbox: what it writes, and how it ends. With an open standard input it then
  // echoes that until it is closed or Ctrl-D comes.
  std::vector<pb::LogChunk> output;
  pb::ExitStatus exit;
  // It goes on until StopSandbox is called with a grace period of 0 (or with any, unless stubborn).
  bool runs_until_stopped = false;
  bool stubborn = false;
  // Nothing ends it, and StopSandbox does not answer.
  bool deaf = false;
  // The stream breaks before the program has ended.
  bool breaks_attach = false;

  // The next calls that change something are answered with these, in turn.
  std::vector<Refusal> refusals;
  // CreateSandbox takes effect and then is refused with the first refusal, as if the answer was
  // lost.
  bool loses_answer = false;
  int page_size = 2;  // small, so that lists take several pages

  // Seen, in order.
  std::vector<std::string> request_ids;
  std::vector<pb::CreateSandboxRequest> creates;
  std::vector<pb::StopSandboxRequest> stops;
  std::vector<pb::SignalSandboxRequest> signals;
  std::vector<pb::DeleteSandboxRequest> deletes;
  std::vector<pb::StreamLogsRequest> logs;
  std::vector<pb::ExecSpec> execs;
  std::vector<pb::ImportImageRequest> imports;
  std::vector<pb::PullImageRequest> pulls;
  std::vector<pb::CreateTenantRequest> tenant_adds;
  std::vector<pb::UpdateTenantRequest> tenant_updates;
  std::vector<pb::TestImageRequest> test_requests;
  std::vector<pb::CreateOverrideRequest> override_adds;
  std::vector<pb::CollectGarbageRequest> collections;
  std::vector<pb::WatchEventsRequest> watches;
  std::vector<pb::CordonNodeRequest> cordons;
  std::vector<pb::WatchNodeRequest> node_watches;
  std::vector<pb::ExplainRequest> explains;
  std::vector<pb::ReserveRequest> reserves;
  std::vector<pb::CommitRequest> commits;
  std::vector<pb::ReleaseRequest> releases;
  std::vector<pb::PutNetworkPolicyRequest> policy_puts;
  std::vector<pb::SetSandboxNetworkRequest> network_sets;
  std::vector<pb::CreateVmRequest> vm_creates;
  std::vector<pb::StopVmRequest> vm_stops;
  std::vector<pb::RestartGuestAgentRequest> agent_restarts;
  std::vector<pb::TerminalSize> sizes;
  int stops_seen = 0;
  bool forced = false;
};

// An agent in memory that serves the whole API on a unix socket until it is destroyed.
class FakeAgent {
 public:
  explicit FakeAgent(const std::string& socket);
  ~FakeAgent();
  FakeAgent(const FakeAgent&) = delete;
  FakeAgent& operator=(const FakeAgent&) = delete;

  FakeState& state() { return state_; }

 private:
  struct Server;
  FakeState state_;
  std::unique_ptr<Server> server_;
};

// Records for tests, with every field that a table shows.
pb::Sandbox MakeSandbox(const std::string& id, const std::string& display_name,
                        pb::SandboxState state);
// Held for so many seconds after the fixture's clock.
pb::Reservation MakeReservation(const std::string& id, const std::string& display_name,
                                int64_t seconds);
pb::Tenant MakeTenant(const std::string& name, pb::Trust trust);
pb::Image MakeImage(const std::string& digest, const std::vector<std::string>& references);
pb::LogChunk MakeChunk(pb::LogChunk::Stream stream, const std::string& data, int64_t seconds = 0);

}  // namespace claw::ctl::testing
