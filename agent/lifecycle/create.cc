#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/plan.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/lifecycle/vms.h"
#include "agent/model/json.h"

namespace claw::lifecycle {
namespace {

std::string SpecFingerprint(const SandboxSpec& spec) {
  Sandbox sandbox;
  sandbox.spec = spec;
  return ContentFingerprint(ToJson(sandbox));
}

}  // namespace

Task<StatusOr<Sandbox>> Node::CreateSandbox(Call call, SandboxSpec spec, bool validate_only) {
  co_await Uncancellable();
  CO_RETURN_IF_ERROR(WithOutcome(ValidateSpec(spec), Outcome::kRefused));
  co_await LookAround();
  if (validate_only) {
    const std::string by_its_name;
    CO_ASSIGN_OR_RETURN(Plan plan, MakePlan(spec, by_its_name));
    co_return plan.record;
  }
  const std::string fingerprint = SpecFingerprint(spec);
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(call, "CreateSandbox", fingerprint));
  if (earlier) co_return StartedEarlier(*earlier);
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  const auto began = std::chrono::steady_clock::now();
  Wanted wanted;
  wanted.spec = spec;
  co_await vms_->MakeReady(wanted);
  CO_ASSIGN_OR_RETURN(const Placed placed, Place(call, wanted, false));
  const std::shared_ptr<Entry> entry = placed.entry;
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(entry->mutex);
  auto request = MakeRequest(call.request_id, "CreateSandbox", fingerprint,
                             StrCat("sandboxes/", entry->record.id));
  std::vector<std::shared_ptr<Entry>> entries(1, entry);
  CO_RETURN_IF_ERROR(co_await RecordPlaces(std::move(entries), std::move(request), call.actor));
  co_return co_await Start(entry, std::move(*placed.plan), began);
}

Task<void> Node::LookAround() {
  co_await RefreshDrivers();
  co_await LimitMemory();
  co_await LookAtPressure();
  co_await LookAtRoom();
  co_await network_.LookAgain();
  if (config_.node_class == NodeClass::kHardened) co_await RefreshFacts();
}

Task<void> Node::LookAtRoom() {
  if (!deps_.read_room) co_return;
  // Whoever comes while another looks takes what that one finds.
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(room_.mutex);
  const auto now = std::chrono::steady_clock::now();
  if (now - room_.looked < config_.shortest_look) co_return;
  room_.looked = now;
  auto read = deps_.read_room;
  const StatusOr<HostRoom> found = co_await deps_.pool.Run(std::move(read));
  // What was seen last counts as long as nothing newer is known.
  if (found.ok()) room_.found = *found;
}

Task<StatusOr<Sandbox>> Node::Launch(std::shared_ptr<Entry> entry, Plan plan) {
  Sandbox starting = entry->record;
  CO_RETURN_IF_ERROR(Transition(starting, SandboxState::kStarting));
  SetRecord(*entry, std::move(starting));
  CO_RETURN_IF_ERROR(CheckStillAllowed(*entry));
  drivers::Driver& driver = *plan.driver;
  // More at once than the machine can work at would only make each of them slower.
  std::optional<StartGate::Pass> pass;
  const bool in_vm = !VmOf(entry->record).empty();  // where the guest's agent has its own
  if (const auto gate = start_gates_.find(entry->record.driver);
      !in_vm && gate != start_gates_.end()) {
    CO_ASSIGN_OR_RETURN(StartGate::Pass entered, co_await StartGate::Enter(gate->second));
    pass.emplace(std::move(entered));
    CO_RETURN_IF_ERROR(CheckStillAllowed(*entry));
    // It may have waited for long. Its place among those that may run is its own already.
    if (dial_.band() >= PressureBand::kRefuse) {
      co_return dial_.AdmitStart(CountActive().sandboxes);
    }
  }
  const bool connected = entry->record.network_mode == NetworkMode::kBridge;
  if (connected) {
    CO_ASSIGN_OR_RETURN(plan.launch.node_files,
                        co_await network_.Prepare(NetworkPlanFor(entry->record)));
  }
  auto create = [&driver, launch = std::move(plan.launch)] { return driver.Create(launch); };
  CO_ASSIGN_OR_RETURN(const drivers::Created created,
                      co_await PoolFor(entry->record).Run(std::move(create)));
  if (created.memory) {
    Sandbox charged = entry->record;
    charged.resources.memory = *created.memory;
    SetRecord(*entry, std::move(charged));
  }
  // Each step took its time, and the tenant may have lost its trust in it.
  CO_RETURN_IF_ERROR(CheckStillAllowed(*entry));
  std::optional<NetworkAttachment> attachment;
  if (connected) {
    CO_ASSIGN_OR_RETURN(attachment, co_await Connect(entry, created.process.pid));
    CO_RETURN_IF_ERROR(CheckStillAllowed(*entry));
  }
  auto start = [&driver, handle = created.handle] { return driver.Start(handle); };
  CO_ASSIGN_OR_RETURN(const std::string proof,
                      co_await PoolFor(entry->record).Run(std::move(start)));
  pass.reset();
  CO_RETURN_IF_ERROR(CheckStillAllowed(*entry));
  Sandbox running = entry->record;
  CO_RETURN_IF_ERROR(Transition(running, SandboxState::kRunning));
  running.handle = created.handle;
  running.process = created.process;
  running.runtime_proof = proof;
  running.network = std::move(attachment);
  running.started_at = deps_.clock.Now();
  CO_RETURN_IF_ERROR(co_await Save(entry, running, "sandbox.running", StrCat("proven: ", proof)));
  CO_RETURN_IF_ERROR(CheckStillAllowed(*entry));
  WatchExit(entry);
  co_return entry->record;
}

Task<Status> Node::AbandonStart(std::shared_ptr<Entry> entry, Status why) {
  drivers::Driver* driver = DriverFor(entry->record);
  const Status undone = co_await Erase(driver, entry->record, false);
  if (undone.ok()) {
    const Status forgotten = co_await ForgetStart(entry, why);
    if (forgotten.ok()) co_return WithOutcome(why, Outcome::kUndone);
  }
  // Something may be left: the record stays, and its memory stays charged, until that is gone.
  Sandbox failed = entry->record;
  failed.state = SandboxState::kFailed;
  failed.failure = ToLogString(why);
  failed.released = undone.ok();
  co_await SaveReality(entry, failed, "sandbox.failed", failed.failure);
  if (!failed.released) asio::co_spawn(deps_.strand, Release(entry), asio::detached);
  co_return why;
}

Task<Status> Node::ForgetStart(std::shared_ptr<Entry> entry, const Status& why) {
  const Sandbox& record = entry->record;
  store::RequestRecord request;
  if (const auto it = requests_.find(record.request_id); it != requests_.end()) {
    request = it->second;
    request.code = static_cast<int>(why.code());
    request.message = ToStd(why.message());
    request.reason = GetErrorDetail(why).value_or(ErrorDetail{}).reason;
  }
  std::vector<Event> events;
  events.push_back(MakeEvent("sandbox.start_failed", StrCat("sandboxes/", record.id),
                             record.spec.tenant, ToLogString(why)));
  co_return co_await DropRecord(entry, std::move(request), std::move(events));
}

}  // namespace claw::lifecycle
