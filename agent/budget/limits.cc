#include "agent/budget/limits.h"

#include <algorithm>
#include <utility>

#include "agent/base/strings.h"

namespace claw::budget {
namespace {

int64_t CapOf(const Caps& caps, const std::string& driver) {
  const auto it = caps.by_driver.find(driver);
  return it == caps.by_driver.end() ? 0 : it->second;
}

std::string ConstraintOf(const std::string& driver) { return StrCat("limits.", driver); }

constexpr char kAllSandboxes[] = "limits.sandboxes";

}  // namespace

int64_t Counts::Of(const std::string& driver) const {
  const auto it = by_driver.find(driver);
  return it == by_driver.end() ? 0 : it->second;
}

void Room::Bound(int64_t at_most, std::string by) {
  if (at_most >= more) return;
  more = std::max<int64_t>(0, at_most);
  constraint = std::move(by);
}

void BoundByCaps(const Caps& caps, const Counts& counts, const std::string& driver, Room& room) {
  if (caps.sandboxes > 0) room.Bound(caps.sandboxes - counts.sandboxes, kAllSandboxes);
  const int64_t cap = CapOf(caps, driver);
  if (cap > 0) room.Bound(cap - counts.Of(driver), ConstraintOf(driver));
}

Status CheckCaps(const Caps& caps, const Counts& counts, const std::string& driver) {
  Room room{.more = 1};
  BoundByCaps(caps, counts, driver, room);
  if (room.more > 0) return absl::OkStatus();
  const bool all = room.constraint == kAllSandboxes;
  const int64_t cap = all ? caps.sandboxes : CapOf(caps, driver);
  const int64_t there_are = all ? counts.sandboxes : counts.Of(driver);
  return MakeError(StatusCode::kResourceExhausted,
                   StrCat("this node's config allows ", cap, all ? "" : StrCat(" ", driver),
                          " sandboxes at a time, and there are ", there_are),
                   {.reason = "SANDBOX_CAP",
                    .constraint = room.constraint,
                    .needed = StrCat(there_are + 1, " sandboxes"),
                    .available = StrCat(cap, " sandboxes"),
                    .retry_after = std::chrono::seconds(10)});
}

}  // namespace claw::budget
