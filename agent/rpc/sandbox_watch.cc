#include "agent/rpc/sandbox_watch.h"

#include <algorithm>
#include <map>

#include "agent/rpc/convert.h"
#include "agent/rpc/event_feed.h"
#include "agent/rpc/names.h"

namespace claw::rpc {
namespace {

constexpr std::string_view kSubjectPrefix = "sandboxes/";

class SandboxWatch {
 public:
  SandboxWatch(const Context& context, Sink<pb::SandboxChange>& sink, std::string tenant,
               int64_t resume_revision)
      : context_(context),
        sink_(sink),
        tenant_(std::move(tenant)),
        feed_(context, "", resume_revision) {}

  // Every sandbox there is. Changes after this moment wait in the feed.
  Task<Status> SendAll() {
    feed_.Listen();
    const int64_t revision = context_.node.revision();
    const std::vector<Sandbox> sandboxes = context_.node.ListSandboxes();
    for (const Sandbox& sandbox : sandboxes) {
      if (!IsWanted(sandbox.spec.tenant)) continue;
      pb::SandboxChange change;
      *change.mutable_sandbox() = ToProto(sandbox);
      // No revision: who goes on from one in the middle of this list would miss the rest of it.
      CO_RETURN_IF_ERROR(co_await Send(std::move(change)));
    }
    co_return co_await SendSynced(revision);
  }

  // Each sandbox that has changed since, once, by the time of its last change, so that a caller may
  // go on from any of them.
  Task<Status> SendChanged(int64_t resume_revision) {
    std::map<std::string, Event> last_of;
    int64_t revision = resume_revision;
    for (;;) {
      auto events = co_await feed_.Replay();
      if (!events.ok()) co_return events.status();
      if (events->empty()) break;
      for (Event& event : *events) {
        revision = event.revision;
        if (event.subject.starts_with(kSubjectPrefix)) last_of[event.subject] = std::move(event);
      }
    }
    std::vector<Event> changes;
    for (auto& [subject, event] : last_of) changes.push_back(std::move(event));
    std::sort(changes.begin(), changes.end(),
              [](const Event& a, const Event& b) { return a.revision < b.revision; });
    for (const Event& event : changes) CO_RETURN_IF_ERROR(co_await SendChange(event));
    co_return co_await SendSynced(revision);
  }

  Task<Status> Follow() {
    for (;;) {
      auto event = co_await feed_.Next();
      if (!event.ok()) co_return event.status();
      if (!event->subject.starts_with(kSubjectPrefix)) continue;
      CO_RETURN_IF_ERROR(co_await SendChange(*event));
    }
  }

 private:
  bool IsWanted(const std::string& tenant) const { return tenant_.empty() || tenant == tenant_; }

  // The sandbox of an event as it is now, or that it is gone.
  Task<Status> SendChange(Event event) {
    const std::string id = event.subject.substr(kSubjectPrefix.size());
    const StatusOr<Sandbox> sandbox = context_.node.GetSandbox(id);
    const bool exists = sandbox.ok() && sandbox->id == id;  // and is not another of that name
    if (!IsWanted(exists ? sandbox->spec.tenant : event.tenant)) co_return absl::OkStatus();
    pb::SandboxChange change;
    change.set_revision(event.revision);
    if (exists) {
      *change.mutable_sandbox() = ToProto(*sandbox);
    } else {
      change.mutable_sandbox()->set_name(event.subject);
      change.set_deleted(true);
    }
    co_return co_await Send(std::move(change));
  }

  Task<Status> SendSynced(int64_t revision) {
    pb::SandboxChange change;
    change.set_synced(true);
    change.set_revision(revision);
    co_return co_await Send(std::move(change));
  }

  Task<Status> Send(pb::SandboxChange change) {
    const bool taken = co_await sink_.Write(std::move(change));
    co_return taken ? absl::OkStatus() : CallerGone();
  }

  const Context& context_;
  Sink<pb::SandboxChange>& sink_;
  const std::string tenant_;
  EventFeed feed_;
};

}  // namespace

Task<Status> WatchSandboxes(const Context& context, const pb::WatchSandboxesRequest& request,
                            Sink<pb::SandboxChange>& sink) {
  CO_ASSIGN_OR_RETURN(std::string tenant, ParseTenantFilter("tenant", request.tenant()));
  const int64_t resume = request.resume_revision();
  if (resume < 0) co_return BadField("resume_revision", "is less than 0");
  CO_RETURN_IF_ERROR(CheckKnownRevision(context, resume));
  SandboxWatch watch(context, sink, std::move(tenant), resume);
  Status begun;
  if (resume == 0) {
    begun = co_await watch.SendAll();
  } else {
    begun = co_await watch.SendChanged(resume);
  }
  if (!begun.ok()) co_return begun;
  co_return co_await watch.Follow();
}

}  // namespace claw::rpc
