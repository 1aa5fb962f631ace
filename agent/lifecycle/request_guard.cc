#include "agent/lifecycle/request_guard.h"

#include <array>
#include <cstdio>

namespace claw::lifecycle {

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
