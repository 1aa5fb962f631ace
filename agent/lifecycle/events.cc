#include <algorithm>
#include <functional>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {
namespace {

// How many events are written between two looks at how many there are.
constexpr int64_t kTrimEvery = 1000;

// One write to the store; resumes on the strand once it is durable.
Task<Status> WriteDurably(store::Store& store, std::function<Status(store::Transaction&)> body) {
  auto executor = co_await asio::this_coro::executor;
  // Named, not written in the co_await: see "A trap" in this folder's README.
  auto initiate = [&store, executor](auto handler, auto write) {
    // std::function wants something that can be copied.
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    store.Write(std::move(write), [executor, shared](Status status) {
      asio::post(executor, [shared, status = std::move(status)]() mutable {
        std::move (*shared)(std::move(status));
      });
    });
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Status)>(
      std::move(initiate), asio::use_awaitable, std::move(body));
}

}  // namespace

Event Node::MakeEvent(std::string type, std::string subject, std::string tenant,
                      std::string message, std::string actor) {
  return {.revision = ++revision_,
          .time = deps_.clock.Now(),
          .type = std::move(type),
          .subject = std::move(subject),
          .tenant = std::move(tenant),
          .message = std::move(message),
          .actor = std::move(actor)};
}

Task<Status> Node::Commit(Body body, std::vector<Event> events) {
  events_since_trim_ += static_cast<int64_t>(events.size());
  const bool trim = events_since_trim_ >= kTrimEvery;
  std::vector<std::string> forgotten;
  if (trim) {
    events_since_trim_ = 0;
    forgotten = OldestRequests();
  }
  const int64_t keep = config_.max_events;
  auto write = [body = std::move(body), events, trim, keep,
                forgotten](store::Transaction& txn) -> Status {
    if (body) RETURN_IF_ERROR(body(txn));
    for (const Event& event : events) RETURN_IF_ERROR(txn.AppendEvent(event));
    for (const std::string& id : forgotten) RETURN_IF_ERROR(txn.DeleteRequest(id));
    return trim ? txn.TrimEvents(keep) : absl::OkStatus();
  };
  const Status status = co_await WriteDurably(deps_.store, std::move(write));
  store_problem_ = status.ok() ? "" : ToLogString(status);
  if (status.ok()) {
    for (const std::string& id : forgotten) requests_.erase(id);
    // The store answers in the order of the writes, so what is published here ascends.
    for (const Event& event : events) {
      durable_revision_ = std::max(durable_revision_, event.revision);
      bus_.Publish(event);
    }
  }
  co_return Annotate(status, "record it");
}

Task<Status> Node::Commit(Body body) {
  std::vector<Event> none;
  return Commit(std::move(body), std::move(none));
}

Task<Status> Node::Save(std::shared_ptr<Entry> entry, Sandbox changed, std::string event_type,
                        std::string message, std::string actor) {
  Event event = MakeEvent(std::move(event_type), StrCat("sandboxes/", changed.id),
                          changed.spec.tenant, std::move(message), std::move(actor));
  changed.revision = event.revision;
  std::vector<Event> events;
  events.push_back(std::move(event));
  std::optional<TenantUsage> bill;
  if (changed.released) bill = CloseBill(*entry);
  auto write = [changed, bill](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.PutSandbox(changed));
    return bill ? txn.AddTenantUsage(*bill) : absl::OkStatus();
  };
  CO_RETURN_IF_ERROR(co_await Commit(std::move(write), std::move(events)));
  if (changed.released) PayBill(*entry);
  SetRecord(*entry, std::move(changed));
  entry->changed.NotifyAll();
  co_return absl::OkStatus();
}

Task<StatusOr<std::vector<Event>>> Node::ReadEvents(store::EventQuery query) {
  store::Store& store = deps_.store;
  auto work = [&store, query] { return store.ReadEvents(query); };
  co_return co_await deps_.pool.Run(std::move(work));
}

std::unique_ptr<EventSubscription> Node::Subscribe() {
  return std::make_unique<EventSubscription>(bus_, deps_.strand);
}

}  // namespace claw::lifecycle
