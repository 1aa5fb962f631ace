#include <algorithm>
#include <nlohmann/json.hpp>

#include "store/records.h"

namespace claw::store {
namespace {

using Json = nlohmann::json;

// The subject is a column, so that its events can be found; the checksum covers it as well.
constexpr Table kEvents{.name = "events", .key = "revision || ' ' || subject"};
constexpr const char* kLastRevision = "last_revision";
constexpr const char* kCompactedRevision = "compacted_revision";

std::string KeyOf(int64_t revision, const std::string& subject) {
  return StrCat(revision, " ", subject);
}

std::string EventToJson(const Event& event) {
  const Json json = {{"time", ToMicros(event.time)},
                     {"type", event.type},
                     {"tenant", event.tenant},
                     {"message", event.message},
                     {"actor", event.actor}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

StatusOr<Event> EventFromJson(int64_t revision, const std::string& subject,
                              const std::string& text) {
  try {
    const Json json = Json::parse(text);
    return Event{.revision = revision,
                 .time = FromMicros(json.value("time", int64_t{0})),
                 .type = json.value("type", ""),
                 .subject = subject,
                 .tenant = json.value("tenant", ""),
                 .message = json.value("message", ""),
                 .actor = json.value("actor", "")};
  } catch (const Json::exception& error) {
    return DataLoss("event record cannot be read: ", error.what());
  }
}

Event EventFromRow(int64_t revision, const std::string& subject, const std::string& body,
                   int64_t checksum) {
  Status status = DataLoss("the checksum does not match");
  if (checksum == int64_t{Checksum(KeyOf(revision, subject), body)}) {
    StatusOr<Event> event = EventFromJson(revision, subject, body);
    if (event.ok()) return *std::move(event);
    status = event.status();
  }
  return {.revision = revision,
          .type = "store.quarantined",
          .subject = "node",
          .message = StrCat("event ", revision, " cannot be read: ", status.message())};
}

// Raises a number that never goes back.
Status RaiseMeta(Connection& db, const char* key, int64_t value) {
  ASSIGN_OR_RETURN(const std::optional<int64_t> before, GetMeta(db, key));
  if (before && *before >= value) return absl::OkStatus();
  return PutMeta(db, key, value);
}

struct Range {
  int64_t first = 0;
  int64_t last = 0;  // 0: there are no events
};

StatusOr<Range> StoredRange(Connection& db) {
  Range range;
  RETURN_IF_ERROR(db.Guard("find the range of the events", [&] {
    Query query = db.Prepare("SELECT min(revision), max(revision) FROM events");
    query->executeStep();
    range = {.first = query->getColumn(0).getInt64(), .last = query->getColumn(1).getInt64()};
  }));
  return range;
}

Status CheckNotCompacted(Connection& db, int64_t after_revision) {
  ASSIGN_OR_RETURN(const std::optional<int64_t> compacted, GetMeta(db, kCompactedRevision));
  if (!compacted || after_revision >= *compacted) return absl::OkStatus();
  return MakeError(StatusCode::kOutOfRange,
                   StrCat("events after revision ", after_revision,
                          " have been removed; the oldest ones left come after revision ",
                          *compacted, ": list the state and follow from there"),
                   {.reason = "REVISION_COMPACTED",
                    .constraint = "after_revision",
                    .needed = StrCat(after_revision),
                    .available = StrCat(*compacted)});
}

Status SelectEvents(Connection& db, const EventQuery& query, std::vector<Event>& events) {
  return db.Guard("read events", [&] {
    const bool all = query.subject.empty();
    Query rows = db.Prepare(StrCat("SELECT revision, subject, body, checksum FROM events ",
                                   all ? "WHERE" : "WHERE subject = ?3 AND",
                                   " revision > ?1 ORDER BY revision LIMIT ?2"));
    rows->bind(1, query.after_revision);
    rows->bind(2, query.limit);
    if (!all) rows->bind(3, query.subject);
    while (rows->executeStep()) {
      events.push_back(EventFromRow(rows->getColumn(0).getInt64(), rows->getColumn(1).getString(),
                                    rows->getColumn(2).getString(), rows->getColumn(3).getInt64()));
    }
  });
}

}  // namespace

Status AppendEvent(Connection& db, const Event& event) {
  if (event.revision <= 0) {
    return InvalidArgument("event revision ", event.revision, " is not positive");
  }
  const std::string body = EventToJson(event);
  RETURN_IF_ERROR(db.Guard(StrCat("write event ", event.revision), [&] {
    Query query =
        db.Prepare("INSERT INTO events (revision, subject, body, checksum) VALUES (?, ?, ?, ?)");
    query->bind(1, event.revision);
    query->bind(2, event.subject);
    query->bind(3, body);
    query->bind(4, int64_t{Checksum(KeyOf(event.revision, event.subject), body)});
    query->exec();
  }));
  return RaiseMeta(db, kLastRevision, event.revision);
}

Status TrimEvents(Connection& db, int64_t keep) {
  if (keep < 0) return InvalidArgument("cannot keep ", keep, " events");
  int64_t newest_removed = 0;
  RETURN_IF_ERROR(db.Guard("trim events", [&] {
    Query query = db.Prepare("SELECT revision FROM events ORDER BY revision DESC LIMIT 1 OFFSET ?");
    query->bind(1, keep);
    if (query->executeStep()) newest_removed = query->getColumn(0).getInt64();
    if (newest_removed == 0) return;
    Query remove = db.Prepare("DELETE FROM events WHERE revision <= ?");
    remove->bind(1, newest_removed);
    remove->exec();
  }));
  if (newest_removed == 0) return absl::OkStatus();
  return RaiseMeta(db, kCompactedRevision, newest_removed);
}

StatusOr<std::vector<Event>> ReadEvents(Connection& db, const EventQuery& query) {
  if (query.limit <= 0) return InvalidArgument("limit ", query.limit, " is not positive");
  std::vector<Event> events;
  // One snapshot for both questions: between them the writer may trim.
  const Status status = db.Guard("read events", [&]() -> Status {
    db.Execute("BEGIN");
    RETURN_IF_ERROR(CheckNotCompacted(db, query.after_revision));
    return SelectEvents(db, query, events);
  });
  db.Abandon();
  RETURN_IF_ERROR(status);
  return events;
}

Status CheckEvents(Connection& db, BadRows& bad) {
  return LoadRows(db, kEvents, bad, [](const std::string&, const std::string& body) {
    return EventFromJson(0, "", body).status();
  });
}

StatusOr<Revisions> LoadRevisions(Connection& db, bool lost, Time now) {
  ASSIGN_OR_RETURN(const Range stored, StoredRange(db));
  ASSIGN_OR_RETURN(const std::optional<int64_t> last, GetMeta(db, kLastRevision));
  ASSIGN_OR_RETURN(const std::optional<int64_t> compacted, GetMeta(db, kCompactedRevision));
  Revisions found{.last = last.value_or(0), .compacted = compacted.value_or(0)};
  if (lost && !last) found.last = ToMicros(now);
  found.last = std::max(found.last, stored.last);
  if (lost && !compacted) found.compacted = stored.last == 0 ? found.last : stored.first - 1;
  const Status noted = db.InOwnTransaction("note the revisions", [&]() -> Status {
    if (found.last > last.value_or(0)) RETURN_IF_ERROR(PutMeta(db, kLastRevision, found.last));
    if (found.compacted == compacted.value_or(0)) return absl::OkStatus();
    return PutMeta(db, kCompactedRevision, found.compacted);
  });
  RETURN_IF_ERROR(noted);
  return found;
}

}  // namespace claw::store
