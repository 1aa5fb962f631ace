#include "agent/base/id.h"
#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/plan.h"
#include "agent/lifecycle/request_guard.h"
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
  CO_RETURN_IF_ERROR(ValidateSpec(spec));
  co_await RefreshDrivers();
  co_await LimitMemory();
  co_await LookAtPressure();
  if (validate_only) {
    CO_ASSIGN_OR_RETURN(Plan plan, MakePlan(spec));
    co_return plan.record;
  }
  const std::string fingerprint = SpecFingerprint(spec);
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(call.request_id, "CreateSandbox", fingerprint));
  if (earlier) {
    if (earlier->code != 0) co_return EarlierError(*earlier);
    const std::shared_ptr<Entry> entry = Find(ResourceId(earlier->subject));
    if (entry != nullptr) co_return entry->record;
    co_return MakeError(StatusCode::kFailedPrecondition,
                        StrCat("this request made ", earlier->subject, ", which has been removed"),
                        {.reason = "ALREADY_DONE", .constraint = "request_id"});
  }
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });

  if (config_.node_class == NodeClass::kHardened) co_await RefreshFacts();
  const auto began = std::chrono::steady_clock::now();
  // From the check to the charge there is no co_await: nobody can take the room in between.
  StatusOr<Plan> planned = MakePlan(spec);
  if (!planned.ok()) counters_.CountRefusal(planned.status());
  CO_ASSIGN_OR_RETURN(Plan plan, std::move(planned));
  Sandbox record = plan.record;
  record.id = RandomHex(kSandboxIdLength);
  record.request_id = call.request_id;
  record.created_at = deps_.clock.Now();
  const auto entry = std::make_shared<Entry>(record, deps_.strand);
  sandboxes_[record.id] = entry;

  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(entry->mutex);
  auto request =
      MakeRequest(call.request_id, "CreateSandbox", fingerprint, StrCat("sandboxes/", record.id));
  const Status reserved = co_await Reserve(entry, std::move(request), call.actor);
  if (!reserved.ok()) counters_.CountRefusal(reserved);
  CO_RETURN_IF_ERROR(reserved);
  plan.launch.id = record.id;
  plan.launch.hostname = spec.display_name.empty() ? record.id : spec.display_name;
  plan.launch.record_json = WriteKeptRecord(entry->record, plan.tenant);
  StatusOr<Sandbox> running = co_await Launch(entry, std::move(plan));
  counters_.CountStart(entry->record.driver, running.ok(),
                       std::chrono::steady_clock::now() - began);
  if (running.ok()) co_return running;
  co_return co_await AbandonStart(entry, running.status());
}

Task<Status> Node::Reserve(std::shared_ptr<Entry> entry, store::RequestRecord request,
                           std::string actor) {
  const Sandbox& record = entry->record;
  Event event =
      MakeEvent("sandbox.reserved", StrCat("sandboxes/", record.id), record.spec.tenant,
                StrCat(FormatBytes(ChargedBytes(record.resources.memory)), " charged, class ",
                       ToString(record.isolation), ": ", record.decision.reason),
                std::move(actor));
  entry->record.revision = event.revision;
  std::vector<Event> events;
  events.push_back(std::move(event));
  auto write = [sandbox = entry->record, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.PutSandbox(sandbox));
    return RecordRequest(txn, request);
  };
  const Status saved = co_await Commit(std::move(write), std::move(events));
  if (saved.ok()) {
    RememberRequest(request);
  } else {
    sandboxes_.erase(entry->record.id);
    entry->removed = true;
    entry->changed.NotifyAll();
  }
  co_return saved;
}

Task<StatusOr<Sandbox>> Node::Launch(std::shared_ptr<Entry> entry, Plan plan) {
  CO_RETURN_IF_ERROR(Transition(entry->record, SandboxState::kStarting));
  CO_RETURN_IF_ERROR(CheckStillAllowed(*entry));
  drivers::Driver& driver = *plan.driver;
  // More at once than the machine can work at would only make each of them slower.
  std::optional<StartGate::Pass> pass;
  if (const auto gate = start_gates_.find(entry->record.driver); gate != start_gates_.end()) {
    CO_ASSIGN_OR_RETURN(StartGate::Pass entered, co_await StartGate::Enter(gate->second));
    pass.emplace(std::move(entered));
    CO_RETURN_IF_ERROR(CheckStillAllowed(*entry));
    // It may have waited for long. Its place among those that may run is its own already.
    if (dial_.band() >= PressureBand::kRefuse) {
      co_return dial_.AdmitStart(CountActive().sandboxes);
    }
  }
  auto create = [&driver, launch = std::move(plan.launch)] { return driver.Create(launch); };
  CO_ASSIGN_OR_RETURN(const drivers::Created created, co_await deps_.pool.Run(std::move(create)));
  // Each step took its time, and the tenant may have lost its trust in it.
  CO_RETURN_IF_ERROR(CheckStillAllowed(*entry));
  auto start = [&driver, handle = created.handle] { return driver.Start(handle); };
  CO_ASSIGN_OR_RETURN(const std::string proof, co_await deps_.pool.Run(std::move(start)));
  pass.reset();
  CO_RETURN_IF_ERROR(CheckStillAllowed(*entry));
  Sandbox running = entry->record;
  CO_RETURN_IF_ERROR(Transition(running, SandboxState::kRunning));
  running.handle = created.handle;
  running.process = created.process;
  running.runtime_proof = proof;
  running.started_at = deps_.clock.Now();
  CO_RETURN_IF_ERROR(co_await Save(entry, running, "sandbox.running", StrCat("proven: ", proof)));
  CO_RETURN_IF_ERROR(CheckStillAllowed(*entry));
  WatchExit(entry);
  co_return entry->record;
}

Task<Status> Node::AbandonStart(std::shared_ptr<Entry> entry, Status why) {
  drivers::Driver* driver = DriverFor(entry->record.driver);
  const Status undone = co_await Erase(driver, entry->record.id, false);
  if (undone.ok()) {
    const Status forgotten = co_await ForgetStart(entry, why);
    if (forgotten.ok()) co_return why;
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
