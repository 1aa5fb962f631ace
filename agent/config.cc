#include "agent/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "agent/base/file.h"

namespace claw {
namespace {

constexpr int64_t kMaxConfigBytes = kMiB;
constexpr int64_t kMinSystemReserve = 256 * kMiB;
constexpr int64_t kMaxSystemReserve = kGiB;
constexpr int64_t kAgentReserve = 64 * kMiB;
constexpr int64_t kEvictionReserve = 100 * kMiB;

}  // namespace

StatusOr<Config> LoadConfig(const std::filesystem::path& file) {
  StatusOr<std::string> text = ReadFile(file, kMaxConfigBytes);
  if (!text.ok()) return Annotate(text.status(), StrCat("read the config file ", file.string()));
  return ParseConfig(*text, file.string());
}

StatusOr<budget::Reserves> ResolveReserves(const Config& config, int64_t capacity_bytes) {
  budget::Reserves reserves{
      .system_bytes = std::clamp(capacity_bytes / 20, kMinSystemReserve, kMaxSystemReserve),
      .agent_bytes = kAgentReserve,
      .eviction_bytes = kEvictionReserve};
  const std::array<std::pair<const std::optional<int64_t>*, int64_t*>, 3> fields = {
      {{&config.system_reserve_bytes, &reserves.system_bytes},
       {&config.agent_reserve_bytes, &reserves.agent_bytes},
       {&config.eviction_reserve_bytes, &reserves.eviction_bytes}}};
  int64_t set_bytes = 0;
  int64_t default_bytes = 0;
  for (const auto& [set, value] : fields) {
    int64_t& sum = *set ? set_bytes : default_bytes;
    sum = SaturatingAdd(sum, set->value_or(*value));
  }
  const int64_t left_for_defaults = std::max<int64_t>(0, capacity_bytes / 2 - set_bytes);
  const double scale = default_bytes <= left_for_defaults ? 1.0
                                                          : static_cast<double>(left_for_defaults) /
                                                                static_cast<double>(default_bytes);
  for (const auto& [set, value] : fields) {
    *value = *set ? **set : static_cast<int64_t>(std::floor(static_cast<double>(*value) * scale));
  }
  if (budget::Allocatable(capacity_bytes, reserves) > 0) return reserves;
  return InvalidArgument("the reserves leave nothing to tenants: this node has ",
                         FormatBytes(capacity_bytes), ", reserved are ", FormatBytes(set_bytes),
                         "; lower [reserves] or raise node.memory");
}

std::string InstanceName(const std::filesystem::path& state_dir) {
  std::string text = std::filesystem::absolute(state_dir).lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  uint32_t hash = 2166136261u;  // FNV-1a: the same in every version, since cgroups outlive agents
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  std::array<char, 9> digits{};
  std::snprintf(digits.data(), digits.size(), "%08x", hash);
  return StrCat("clawlet-", digits.data());
}

}  // namespace claw
