#include "agent/lifecycle/request_guard.h"

#include <array>
#include <cstdio>

namespace claw::lifecycle {

Status RecordRequest(store::Transaction& txn, const store::RequestRecord& request) {
  if (request.request_id.empty()) return absl::OkStatus();
  return txn.PutRequest(request);
}

std::string ResourceId(std::string_view subject) {
  return std::string(subject.substr(subject.find('/') + 1));
}

std::string ContentFingerprint(std::string_view content) {
  uint64_t hash = 14695981039346656037ULL;
  for (const char c : content) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 1099511628211ULL;
  }
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(hash));
  return text.data();
}

}  // namespace claw::lifecycle
