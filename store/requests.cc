#include <nlohmann/json.hpp>

#include "store/records.h"

namespace claw::store {
namespace {

using Json = nlohmann::json;

constexpr Table kRequests{.name = "requests", .key = "request_id"};

// The id is the caller's and may be any bytes; it is kept in its column only, because JSON would
// not give it back unchanged.
std::string RequestToJson(const RequestRecord& request) {
  const Json json = {{"method", request.method},
                     {"fingerprint", request.fingerprint},
                     {"subject", request.subject},
                     {"code", request.code},
                     {"message", request.message},
                     {"reason", request.reason},
                     {"created_at", ToMicros(request.created_at)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

StatusOr<RequestRecord> RequestFromJson(const std::string& id, const std::string& text) {
  try {
    const Json json = Json::parse(text);
    return RequestRecord{.request_id = id,
                         .method = json.value("method", ""),
                         .fingerprint = json.value("fingerprint", ""),
                         .subject = json.value("subject", ""),
                         .code = json.value("code", 0),
                         .message = json.value("message", ""),
                         .reason = json.value("reason", ""),
                         .created_at = FromMicros(json.value("created_at", int64_t{0}))};
  } catch (const Json::exception& error) {
    return DataLoss("request record cannot be read: ", error.what());
  }
}

}  // namespace

Status PutRequest(Connection& db, const RequestRecord& request) {
  return PutRow(db, kRequests, request.request_id, RequestToJson(request));
}

Status DeleteRequest(Connection& db, const std::string& request_id) {
  return DeleteRow(db, kRequests, request_id);
}

Status LoadRequests(Connection& db, BadRows& bad, std::vector<RequestRecord>& requests) {
  return LoadRows(db, kRequests, bad,
                  [&](const std::string& key, const std::string& body) -> Status {
                    ASSIGN_OR_RETURN(RequestRecord request, RequestFromJson(key, body));
                    requests.push_back(std::move(request));
                    return absl::OkStatus();
                  });
}

}  // namespace claw::store
