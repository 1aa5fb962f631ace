// Memory that moves between the host and its guests. What a guest is to have is durable before it
// is told; what it gives back counts only once it has been seen to have given it back.

#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {
namespace {

// The hypervisor tells of a balloon once a second at the most.
constexpr std::chrono::milliseconds kNextLook = std::chrono::milliseconds(200);
// An overhead is charged in whole ones of these, so that it is not recorded with each look.
constexpr int64_t kOverheadStep = 4 * kMiB;
constexpr int64_t kLeastOverheadMargin = 16 * kMiB;

int64_t RoundUp(int64_t bytes, int64_t unit) {
  return SaturatingAdd(bytes, unit - 1) / unit * unit;
}

int64_t WithMargin(int64_t overhead_bytes) {
  const int64_t margin = std::max(overhead_bytes / 8, kLeastOverheadMargin);
  return RoundUp(SaturatingAdd(overhead_bytes, margin), kOverheadStep);
}

bool IsShrinking(const Vm& vm) { return HoldsMemory(vm.state) && GuestBytes(vm) > BalloonOf(vm); }

}  // namespace

int64_t Node::Vms::HostRoom() const {
  const MemoryView memory = node_.memory();
  return SaturatingSub(memory.allocatable_bytes, memory.required_bytes);
}

std::vector<budget::BalloonGuest> Node::Vms::BalloonGuests() const {
  std::vector<budget::BalloonGuest> guests;
  const auto now = std::chrono::steady_clock::now();
  for (const auto& [name, machine] : machines_) {
    const Vm& vm = machine->vm;
    const std::optional<drivers::GuestLook>& look = machine->look;
    // Of one that does not answer, nobody knows what it can spare.
    if (vm.state != VmState::kRunning || !look || look->memory_total_bytes <= 0) continue;
    if (machine->memory.balloon_bytes <= 0) continue;
    guests.push_back(
        {.name = name,
         .memory_bytes = vm.spec.memory_bytes,
         .target_bytes = BalloonOf(vm),
         .held_bytes = GuestBytes(vm),
         .actual_bytes = machine->memory.balloon_bytes,
         .total_bytes = look->memory_total_bytes,
         .available_bytes = look->memory_available_bytes,
         .reserved_bytes = SaturatingSub(look->capacity_bytes, look->allocatable_bytes),
         .charged_bytes = look->charged_bytes,
         .pressed = look->pressure != ToString(PressureBand::kCalm),
         .rested = !machine->balloon_set || now - *machine->balloon_set >= rules_.balloon_rest});
  }
  return guests;
}

Task<Status> Node::Vms::MoveBalloon(Ptr machine, int64_t bytes, std::string why) {
  const Vm before = machine->vm;
  Vm moved = before;
  moved.balloon_bytes = bytes;
  moved.high_water_bytes = 0;
  if (GuestBytes(before) > bytes) moved.high_water_bytes = GuestBytes(before);
  // Charged from here on; what was free when somebody looked may be gone after the next wait.
  machine->vm = moved;
  std::string text = StrCat("is to have ", FormatBytes(bytes), " instead of ",
                            FormatBytes(BalloonOf(before)), ": ", why);
  const Status saved = co_await Save(machine, moved, "vm.balloon", std::move(text));
  if (!saved.ok()) {
    machine->vm = before;
    co_return saved;
  }
  machine->balloon_set = std::chrono::steady_clock::now();
  vm::Machines& machines = *deps_.machines;
  auto set = [&machines, name = before.spec.name, bytes] {
    return machines.SetBalloon(name, bytes);
  };
  const Status told = co_await node_.deps_.pool.Run(std::move(set));
  if (told.ok()) co_return told;
  // One that was to grow may have heard it all the same: it stays charged, and is told again.
  Vm left = machine->vm;
  if (bytes < BalloonOf(before)) left.balloon_bytes = BalloonOf(before);
  co_await SaveReality(machine, std::move(left), "vm.balloon_failed", ToLogString(told));
  co_return told;
}

Task<void> Node::Vms::Settle(Ptr machine) {
  if (!HoldsMemory(machine->vm.state) || machine->off) co_return;
  vm::Machines& machines = *deps_.machines;
  const std::string name = machine->vm.spec.name;
  auto measure = [&machines, name] { return machines.GetMemory(name); };
  const auto memory = co_await node_.deps_.pool.Run(std::move(measure));
  if (!memory.ok() || !HoldsMemory(machine->vm.state)) co_return;
  machine->memory = *memory;
  Vm seen = machine->vm;
  const int64_t has = memory->balloon_bytes;
  if (has > 0) seen.high_water_bytes = has > BalloonOf(seen) ? has : 0;
  if (memory->overhead_bytes > 0) {
    const int64_t measured = WithMargin(memory->overhead_bytes);
    seen.measured_overhead_bytes = std::max(seen.measured_overhead_bytes, measured);
    seen.overhead_bytes = std::max(seen.overhead_bytes, measured);
  }
  const int64_t before = claw::ChargedBytes(machine->vm);
  const int64_t after = claw::ChargedBytes(seen);
  if (after > before) {
    co_await SaveReality(machine, seen, "vm.charge_raised",
                         StrCat("its guest has ", FormatBytes(has), ", its hypervisor takes ",
                                FormatBytes(memory->overhead_bytes), " besides"));
    // It is so; others have to make up for what the host has promised and does not have.
    if (HostRoom() < 0) asio::co_spawn(node_.deps_.strand, MakeRoomFor(0), asio::detached);
  } else if (!(seen == machine->vm)) {
    // Less is charged once that is durable.
    std::string event = "vm.measured";
    if (after < before) event = "vm.balloon_settled";
    const Status saved = co_await Save(
        machine, seen, std::move(event),
        StrCat("its guest has ", FormatBytes(has), ", its hypervisor takes ",
               FormatBytes(memory->overhead_bytes), " besides; charged are ", FormatBytes(after)));
    if (saved.ok()) balloon_moved_->NotifyAll();
  }
  const bool rested =
      !machine->balloon_set ||
      std::chrono::steady_clock::now() - *machine->balloon_set >= rules_.balloon_rest;
  if (has <= 0 || has == BalloonOf(machine->vm) || machine->vm.balloon_bytes == 0 || !rested) {
    co_return;
  }
  // Whoever was to tell it died before that, or was not heard.
  machine->balloon_set = std::chrono::steady_clock::now();
  auto set = [&machines, name, bytes = BalloonOf(machine->vm)] {
    return machines.SetBalloon(name, bytes);
  };
  (co_await node_.deps_.pool.Run(std::move(set))).IgnoreError();
}

Task<void> Node::Vms::SettleUnlessBusy(Ptr machine) {
  const std::optional<AsyncMutex::Lock> lock = AsyncMutex::TryAcquire(machine->mutex);
  if (lock && !machine->removed) co_await Settle(machine);
}

void Node::Vms::OnBalloon(const std::string& name) {
  const auto it = machines_.find(name);
  if (it == machines_.end() || it->second->settling || closed_) return;
  it->second->settling = true;
  // What it has now is asked: the event may be of a move before the last one.
  asio::co_spawn(node_.deps_.strand, SettleSoon(it->second), asio::detached);
}

Task<void> Node::Vms::SettleSoon(Ptr machine) {
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(machine->mutex);
  machine->settling = false;
  if (!machine->removed && !closed_) co_await Settle(machine);
}

Task<void> Node::Vms::MakeRoomFor(int64_t bytes) {
  if (!enabled() || closed_) co_return;
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(balloon_mutex_);
  if (HostRoom() >= bytes || machines_.empty()) co_return;
  // What they can spare may be another amount by now.
  const auto end = std::chrono::steady_clock::now() + rules_.balloon_timeout;
  std::vector<Ptr> running;
  for (const auto& [name, machine] : machines_) {
    if (machine->vm.state == VmState::kRunning && machine->look) running.push_back(machine);
  }
  for (const Ptr& machine : running) {
    if (std::chrono::steady_clock::now() < end) co_await LookAt(machine);
  }
  const budget::BalloonRules rules{.floor_bytes = rules_.memory_floor_bytes};
  const int64_t wanted = SaturatingSub(bytes, HostRoom());
  const std::vector<budget::BalloonMove> moves = budget::ShrinkFor(rules, BalloonGuests(), wanted);
  for (const budget::BalloonMove& move : moves) {
    const auto it = machines_.find(move.name);
    if (it == machines_.end()) continue;
    const Ptr machine = it->second;
    const std::optional<AsyncMutex::Lock> own = AsyncMutex::TryAcquire(machine->mutex);
    if (!own || machine->vm.state != VmState::kRunning) continue;
    if (BalloonOf(machine->vm) != move.from_bytes) continue;
    (co_await MoveBalloon(machine, move.to_bytes, "the host needs it")).IgnoreError();
  }
  int64_t on_its_way = 0;
  for (const auto& [name, machine] : machines_) {
    if (!IsShrinking(machine->vm)) continue;
    on_its_way += GuestBytes(machine->vm) - BalloonOf(machine->vm);
  }
  if (SaturatingAdd(HostRoom(), on_its_way) >= bytes) co_await AwaitBalloons(bytes);
}

// Until the host has so much room, or until that has taken too long.
Task<void> Node::Vms::AwaitBalloons(int64_t bytes) {
  const auto end = std::chrono::steady_clock::now() + rules_.balloon_timeout;
  for (;;) {
    std::vector<Ptr> shrinking;
    for (const auto& [name, machine] : machines_) {
      if (IsShrinking(machine->vm)) shrinking.push_back(machine);
    }
    if (HostRoom() >= bytes || shrinking.empty() || closed_) co_return;
    if (std::chrono::steady_clock::now() >= end) break;
    {
      const Timeout pause(node_.deps_.strand, kNextLook, balloon_moved_);
      co_await balloon_moved_->Wait();
    }
    for (const Ptr& machine : shrinking) co_await SettleUnlessBusy(machine);
  }
  co_await GiveUpShrinking();
}

// A guest that does not give back what it was told to keeps it. Otherwise that would count as on
// its way for ever, and nobody else would be asked.
Task<void> Node::Vms::GiveUpShrinking() {
  std::vector<Ptr> all;
  for (const auto& [name, machine] : machines_) all.push_back(machine);
  for (const Ptr& machine : all) {
    const std::optional<AsyncMutex::Lock> own = AsyncMutex::TryAcquire(machine->mutex);
    if (!own || machine->vm.state != VmState::kRunning || !IsShrinking(machine->vm)) continue;
    const int64_t has = RoundUp(GuestBytes(machine->vm), budget::kBalloonUnit);
    const int64_t keeps = std::min(machine->vm.spec.memory_bytes, has);
    (co_await MoveBalloon(machine, keeps, "it did not give back more in time")).IgnoreError();
  }
}

Task<void> Node::Vms::MakeRoomIn(std::string name, int64_t bytes) {
  const auto it = machines_.find(name);
  if (it == machines_.end() || closed_ || it->second->vm.balloon_bytes == 0) co_return;
  const Ptr machine = it->second;
  co_await LookAt(machine);
  std::optional<budget::BalloonMove> move;
  const std::vector<budget::BalloonGuest> guests = BalloonGuests();
  for (const budget::BalloonGuest& guest : guests) {
    if (guest.name == name) move = budget::GrowFor(guest, bytes);
  }
  if (!move) co_return;
  {
    const std::optional<AsyncMutex::Lock> own = AsyncMutex::TryAcquire(machine->mutex);
    if (!own || machine->vm.state != VmState::kRunning) co_return;
    // From here to the charge there is no co_await.
    if (BalloonOf(machine->vm) != move->from_bytes) co_return;
    if (SaturatingSub(move->to_bytes, GuestBytes(machine->vm)) > HostRoom()) co_return;
    const Status told =
        co_await MoveBalloon(machine, move->to_bytes, "something is to run in its guest");
    if (!told.ok()) co_return;
  }
  const auto end = std::chrono::steady_clock::now() + rules_.balloon_timeout;
  for (;;) {
    co_await LookAt(machine);
    const std::optional<drivers::GuestLook>& look = machine->look;
    const bool fits = look && look->allocatable_bytes - look->charged_bytes >= bytes;
    if (!look || fits || closed_ || std::chrono::steady_clock::now() >= end) co_return;
    co_await node_.Sleep(kNextLook);
  }
}

Task<void> Node::Vms::GrowWhereNeeded() {
  if (!enabled() || closed_ || node_.dial_.band() != PressureBand::kCalm) co_return;
  // What is made room for is not for the guests.
  const std::optional<AsyncMutex::Lock> lock = AsyncMutex::TryAcquire(balloon_mutex_);
  if (!lock) co_return;
  const budget::BalloonRules rules{.floor_bytes = rules_.memory_floor_bytes};
  const std::vector<budget::BalloonMove> moves =
      budget::GrowWithin(rules, BalloonGuests(), HostRoom());
  for (const budget::BalloonMove& move : moves) {
    const auto it = machines_.find(move.name);
    if (it == machines_.end()) continue;
    const Ptr machine = it->second;
    const std::optional<AsyncMutex::Lock> own = AsyncMutex::TryAcquire(machine->mutex);
    if (!own || machine->vm.state != VmState::kRunning) continue;
    if (BalloonOf(machine->vm) != move.from_bytes) continue;
    // From here to the charge there is no co_await.
    if (SaturatingSub(move.to_bytes, GuestBytes(machine->vm)) > HostRoom()) continue;
    (co_await MoveBalloon(machine, move.to_bytes, "its guest needs it")).IgnoreError();
  }
}

}  // namespace claw::lifecycle
