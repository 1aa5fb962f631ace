#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/status.h"

namespace claw {

constexpr int64_t kKiB = int64_t{1} << 10;
constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;

// Reads "512", "64Ki", "512Mi", "1.5Gi", "2G" (powers of ten without the i), "256MiB", "1gb".
// Errors: INVALID_ARGUMENT for anything else, for negative amounts and for more than 2^63 - 1.
StatusOr<int64_t> ParseBytes(std::string_view text);

// "0 B", "512 KiB", "1.5 GiB": at most one decimal, binary units.
std::string FormatBytes(int64_t bytes);

// a + b, a - b and a * b that stop at the ends of int64_t instead of overflowing.
int64_t SaturatingAdd(int64_t a, int64_t b);
int64_t SaturatingSub(int64_t a, int64_t b);
int64_t SaturatingMul(int64_t a, int64_t b);

}  // namespace claw
