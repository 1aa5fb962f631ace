#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/rpc/context.h"

namespace claw::rpc {

// Recorded events. `after_revision` 0 means from the oldest one that is kept, however many have
// been removed; any other is OUT_OF_RANGE if events after it have been.
Task<StatusOr<std::vector<Event>>> ReadRecorded(const Context& context, store::EventQuery query);

// OUT_OF_RANGE for a revision that this node has not reached: it has lost its store since.
Status CheckKnownRevision(const Context& context, int64_t revision);

// Events in order, the recorded ones first, then those that come: none twice, none left out.
class EventFeed {
 public:
  EventFeed(const Context& context, std::string subject, int64_t after_revision);

  // The next page of recorded events. Empty: Next goes on from here.
  Task<StatusOr<std::vector<Event>>> Replay();

  // Begins to listen, without a replay.
  void Listen();

  // The next event, once Replay has answered with nothing or Listen was called. Errors: those of
  // EventSubscription::Next.
  Task<StatusOr<Event>> Next();

 private:
  const Context& context_;
  const std::string subject_;
  int64_t after_revision_;
  std::unique_ptr<lifecycle::EventSubscription> live_;
};

}  // namespace claw::rpc
