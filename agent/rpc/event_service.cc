#include <algorithm>

#include "agent/rpc/convert.h"
#include "agent/rpc/event_feed.h"
#include "agent/rpc/names.h"
#include "agent/rpc/page.h"
#include "agent/rpc/reactors.h"
#include "agent/rpc/services.h"
#include "claw/node/v1/event.grpc.pb.h"

namespace claw::rpc {
namespace {

constexpr size_t kMaxSubjectBytes = 600;

Status CheckSubject(const std::string& subject) {
  if (subject.size() <= kMaxSubjectBytes) return absl::OkStatus();
  return BadField("subject", StrCat("is longer than ", kMaxSubjectBytes, " bytes"));
}

Task<StatusOr<pb::ListEventsResponse>> ListEvents(const Context& context,
                                                  const pb::ListEventsRequest& request) {
  CO_RETURN_IF_ERROR(CheckSubject(request.subject()));
  if (request.after_revision() < 0) co_return BadField("after_revision", "is less than 0");
  CO_ASSIGN_OR_RETURN(const int size, ParsePageSize(request.page_size()));
  const std::string list =
      StrCat("events of ", request.subject(), " after ", request.after_revision());
  CO_ASSIGN_OR_RETURN(const std::string key, ParsePageToken(list, request.page_token()));
  int64_t after = request.after_revision();
  if (!key.empty() && (!ParseInt(key, &after) || after < 0)) {
    co_return BadField("page_token", "is not a token of this node");
  }
  // One more than asked for tells whether there is a next page.
  const store::EventQuery query{
      .after_revision = after, .subject = request.subject(), .limit = size + 1};
  const auto events = co_await ReadRecorded(context, query);
  if (!events.ok()) co_return events.status();
  pb::ListEventsResponse response;
  const auto shown = std::min(events->size(), static_cast<size_t>(size));
  for (size_t i = 0; i < shown; ++i) *response.add_events() = ToProto((*events)[i]);
  if (shown < events->size()) {
    response.set_next_page_token(MakePageToken(list, StrCat((*events)[shown - 1].revision)));
  }
  co_return response;
}

Task<Status> Send(Sink<pb::Event>& sink, pb::Event event) {
  const bool taken = co_await sink.Write(std::move(event));
  co_return taken ? absl::OkStatus() : CallerGone();
}

Task<Status> Replay(EventFeed& feed, Sink<pb::Event>& sink) {
  for (;;) {
    const auto events = co_await feed.Replay();
    if (!events.ok() || events->empty()) co_return events.status();
    for (const Event& event : *events) CO_RETURN_IF_ERROR(co_await Send(sink, ToProto(event)));
  }
}

Task<Status> WatchEvents(const Context& context, const pb::WatchEventsRequest& request,
                         Sink<pb::Event>& sink) {
  CO_RETURN_IF_ERROR(CheckSubject(request.subject()));
  const int64_t resume = request.resume_revision();
  if (resume < -1) co_return BadField("resume_revision", "is less than -1");
  CO_RETURN_IF_ERROR(CheckKnownRevision(context, resume));
  EventFeed feed(context, request.subject(), std::max<int64_t>(resume, 0));
  if (resume < 0) {
    feed.Listen();
  } else {
    const Status replayed = co_await Replay(feed, sink);
    if (!replayed.ok()) co_return replayed;
  }
  for (;;) {
    const auto event = co_await feed.Next();
    if (!event.ok()) co_return event.status();
    CO_RETURN_IF_ERROR(co_await Send(sink, ToProto(*event)));
  }
}

class EventService final : public pb::EventService::CallbackService {
 public:
  explicit EventService(const Context& context) : context_(context) {}

  grpc::ServerUnaryReactor* ListEvents(grpc::CallbackServerContext* /*call*/,
                                       const pb::ListEventsRequest* request,
                                       pb::ListEventsResponse* response) override {
    return Unary(context_, WhenCallerLeaves::kCancel, request, response, rpc::ListEvents);
  }
  grpc::ServerWriteReactor<pb::Event>* WatchEvents(grpc::CallbackServerContext* /*call*/,
                                                   const pb::WatchEventsRequest* request) override {
    return ServerStream(context_, WhenCallerLeaves::kCancel, request, rpc::WatchEvents);
  }

 private:
  const Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeEventService(const Context& context) {
  return std::make_unique<EventService>(context);
}

}  // namespace claw::rpc
