#include "agent/app/pressure_watch.h"

#include <unistd.h>

#include <array>
#include <utility>

#include "agent/host/pressure.h"

namespace claw {
namespace {

namespace asio = boost::asio;
using lifecycle::Task;

// Reads what has come, so that the next event is a new one.
int64_t Drain(int fd, bool is_events) {
  if (!is_events) {
    // A counter that reading sets back to 0 (eventfd(2)).
    uint64_t count = 0;
    return ::read(fd, &count, sizeof count) == sizeof count ? static_cast<int64_t>(count) : 0;
  }
  std::array<char, 4096> text;
  // The file tells of every kind of event; which it was, its counters say at the next look.
  return ::pread(fd, text.data(), text.size(), 0) > 0 ? 1 : 0;
}

}  // namespace

PressureWatch::PressureWatch(asio::any_io_executor strand, std::function<Task<void>()> look)
    : strand_(std::move(strand)), state_(std::make_shared<State>()) {
  state_->look = std::move(look);
}

Status PressureWatch::WatchStall(double share) {
  ASSIGN_OR_RETURN(UniqueFd trigger, host::WatchMemoryStall(share));
  state_->stall = std::make_shared<Descriptor>(strand_, trigger.release());
  asio::co_spawn(strand_, AwaitStalls(state_), asio::detached);
  return absl::OkStatus();
}

void PressureWatch::WatchOom(UniqueFd fd, bool is_events) {
  auto owned = std::make_shared<UniqueFd>(std::move(fd));
  asio::post(strand_, [this, owned, is_events] {
    if (state_->stopped) return;
    if (state_->oom) state_->oom->close();
    Drain(owned->get(), is_events);
    state_->oom = std::make_shared<Descriptor>(strand_, owned->release());
    asio::co_spawn(strand_, AwaitOoms(state_, is_events, ooms_), asio::detached);
  });
}

void PressureWatch::Stop() {
  state_->stopped = true;
  for (const auto& descriptor : {state_->stall, state_->oom}) {
    if (descriptor) descriptor->close();
  }
}

Task<void> PressureWatch::AwaitStalls(std::shared_ptr<State> state) {
  const std::shared_ptr<Descriptor> stall = state->stall;
  while (!state->stopped) {
    boost::system::error_code error;
    co_await stall->async_wait(Descriptor::wait_error,
                               asio::redirect_error(asio::use_awaitable, error));
    if (error || state->stopped) co_return;
    co_await state->look();
  }
}

Task<void> PressureWatch::AwaitOoms(std::shared_ptr<State> state, bool is_events,
                                    std::shared_ptr<std::atomic<int64_t>> ooms) {
  const std::shared_ptr<Descriptor> oom = state->oom;
  const auto kind = is_events ? Descriptor::wait_error : Descriptor::wait_read;
  while (!state->stopped) {
    boost::system::error_code error;
    co_await oom->async_wait(kind, asio::redirect_error(asio::use_awaitable, error));
    if (error || state->stopped) co_return;
    const int64_t seen = Drain(oom->native_handle(), is_events);
    // Removed, its cgroup is not watched any more, and would be ready for ever.
    if (seen == 0) co_return;
    if (!is_events) *ooms += seen;
    co_await state->look();
  }
}

}  // namespace claw
