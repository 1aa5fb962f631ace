#include "agent/rpc/event_feed.h"

namespace claw::rpc {
namespace {

constexpr int kPageSize = 500;

// What a REVISION_COMPACTED error says is the oldest revision to go on from; 0: it is another
// error.
int64_t OldestRevision(const Status& status) {
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  int64_t revision = 0;
  if (status.code() != StatusCode::kOutOfRange || !detail ||
      !ParseInt(detail->available, &revision)) {
    return 0;
  }
  return revision;
}

}  // namespace

Task<StatusOr<std::vector<Event>>> ReadRecorded(const Context& context, store::EventQuery query) {
  auto events = co_await context.node.ReadEvents(query);
  // More may be removed while we ask again.
  for (int attempt = 0; query.after_revision == 0 && !events.ok() && attempt < 3; ++attempt) {
    store::EventQuery from_oldest = query;
    from_oldest.after_revision = OldestRevision(events.status());
    if (from_oldest.after_revision == 0) break;
    events = co_await context.node.ReadEvents(from_oldest);
  }
  co_return events;
}

Status CheckKnownRevision(const Context& context, int64_t revision) {
  const int64_t newest = context.node.revision();
  if (revision <= newest) return absl::OkStatus();
  return MakeError(StatusCode::kOutOfRange,
                   StrCat("revision ", revision, " is newer than the newest of this node, ", newest,
                          ": list the state and follow from there"),
                   {.reason = "REVISION_UNKNOWN",
                    .constraint = "resume_revision",
                    .needed = StrCat(revision),
                    .available = StrCat(newest)});
}

EventFeed::EventFeed(const Context& context, std::string subject, int64_t after_revision)
    : context_(context), subject_(std::move(subject)), after_revision_(after_revision) {}

Task<StatusOr<std::vector<Event>>> EventFeed::Replay() {
  for (;;) {
    const bool listening = live_ != nullptr;
    const store::EventQuery query{
        .after_revision = after_revision_, .subject = subject_, .limit = kPageSize};
    auto events = co_await ReadRecorded(context_, query);
    if (!events.ok()) co_return events.status();
    if (!events->empty()) after_revision_ = events->back().revision;
    // One more look after we began to listen closes the gap between the two. Only then: the queue
    // of a listener is bounded, and a long replay to a slow caller would make it run over.
    if (!events->empty() || listening) co_return events;
    Listen();
  }
}

void EventFeed::Listen() { live_ = context_.node.Subscribe(); }

Task<StatusOr<Event>> EventFeed::Next() {
  for (;;) {
    auto event = co_await live_->Next();
    if (!event.ok()) co_return event.status();
    const bool wanted =
        event->revision > after_revision_ && (subject_.empty() || event->subject == subject_);
    if (wanted) co_return event;
  }
}

}  // namespace claw::rpc
