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

}  // namespace

bool IsUtf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto first = static_cast<unsigned char>(text[i]);
    const Lead lead = Classify(first);
    if (lead.length == 0 || i + lead.length > text.size()) return false;
    uint32_t point = lead.length == 1 ? first : first & (0x7Fu >> lead.length);
    for (size_t k = 1; k < lead.length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0) != 0x80) return false;
      point = point << 6 | (next & 0x3Fu);
    }
    if (point < lead.minimum || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) {
      return false;
    }
    i += lead.length;
  }
  return true;
}

}  // namespace claw
