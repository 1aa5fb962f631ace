#include "agent/config.h"

#include <array>
#include <cstdio>

#include "agent/base/file.h"

namespace claw {
namespace {

constexpr int64_t kMaxConfigBytes = kMiB;

}  // namespace

StatusOr<Config> LoadConfig(const std::filesystem::path& file) {
  StatusOr<std::string> text = ReadFile(file, kMaxConfigBytes);
  if (!text.ok()) return Annotate(text.status(), StrCat("read the config file ", file.string()));
  return ParseConfig(*text, file.string());
}

StatusOr<budget::Reserves> ResolveReserves(const Config& config, int64_t capacity_bytes) {
  const budget::Reserves reserves =
      budget::ResolveReserves({.system_bytes = config.system_reserve_bytes,
                               .agent_bytes = config.agent_reserve_bytes,
                               .eviction_bytes = config.eviction_reserve_bytes},
                              capacity_bytes);
  if (budget::Allocatable(capacity_bytes, reserves) > 0) return reserves;
  const int64_t all = SaturatingAdd(SaturatingAdd(reserves.system_bytes, reserves.agent_bytes),
                                    reserves.eviction_bytes);
  return InvalidArgument("the reserves leave nothing to tenants: this node has ",
                         FormatBytes(capacity_bytes), ", reserved are ", FormatBytes(all),
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
