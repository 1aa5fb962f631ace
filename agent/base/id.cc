#include "agent/base/id.h"

#include <sys/random.h>

#include <array>
#include <cstdlib>

#include "agent/base/strings.h"

namespace claw {

std::string RandomHex(size_t digits) {
  std::array<unsigned char, 32> bytes{};
  if (::getentropy(bytes.data(), bytes.size()) != 0) std::abort();
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < digits && i < 2 * bytes.size(); ++i) {
    text.push_back(kHex[(i % 2 == 0 ? bytes[i / 2] >> 4 : bytes[i / 2]) & 15]);
  }
  return text;
}

std::string RandomUuid() {
  std::string digits = RandomHex(32);
  digits[12] = '4';                                          // the version
  digits[16] = "89ab"[static_cast<size_t>(digits[16]) % 4];  // the variant
  const std::string_view all = digits;
  return StrCat(all.substr(0, 8), "-", all.substr(8, 4), "-", all.substr(12, 4), "-",
                all.substr(16, 4), "-", all.substr(20));
}

}  // namespace claw
