#include "agent/base/utf8.h"

#include <cstddef>
#include <cstdint>

namespace claw {
namespace {

struct Lead {
  size_t length;     // bytes in the sequence; 0: not a lead byte
  uint32_t minimum;  // smallest code point that needs that many
};

Lead Classify(unsigned char byte) {
  if (byte < 0x80) return {1, 0};
  if ((byte & 0xE0) == 0xC0) return {2, 0x80};
  if ((byte & 0xF0) == 0xE0) return {3, 0x800};
  if ((byte & 0xF8) == 0xF0) return {4, 0x10000};
  return {0, 0};
}

// The length of the well-formed sequence that `text` begins with; 0: it begins with none.
size_t SequenceLength(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const Lead lead = Classify(first);
  if (lead.length == 0 || lead.length > text.size()) return 0;
  uint32_t point = lead.length == 1 ? first : first & (0x7Fu >> lead.length);
  for (size_t k = 1; k < lead.length; ++k) {
    const auto next = static_cast<unsigned char>(text[k]);
    if ((next & 0xC0) != 0x80) return 0;
    point = point << 6 | (next & 0x3Fu);
  }
  if (point < lead.minimum || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) return 0;
  return lead.length;
}

}  // namespace

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string ToUtf8(std::string_view text, size_t max_bytes) {
  std::string result;
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    if (length == 0) {
      result += "\xEF\xBF\xBD";
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  if (result.size() <= max_bytes) return result;
  size_t start = result.size() - max_bytes;
  while (start < result.size() && (static_cast<unsigned char>(result[start]) & 0xC0) == 0x80) {
    ++start;
  }
  return result.substr(start);
}

}  // namespace claw
