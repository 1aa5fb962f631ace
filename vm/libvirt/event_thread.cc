#include "vm/libvirt/event_thread.h"

#include <mutex>

namespace claw::vm {
namespace {

void Ignore(int /*timer*/, void* /*opaque*/) {}
// Errors are answered, not printed.
void Swallow(void* /*opaque*/, virErrorPtr /*error*/) {}

bool Register(const LibvirtApi& api) {
  static std::once_flag once;
  static bool registered = false;
  std::call_once(once, [&api] {
    api.virSetErrorFunc(nullptr, Swallow);
    registered = api.virEventRegisterDefaultImpl() == 0;
  });
  return registered;
}

}  // namespace

StatusOr<std::unique_ptr<EventThread>> EventThread::Start(std::shared_ptr<const LibvirtApi> api) {
  if (!Register(*api)) return Internal("libvirt's event loop cannot be made");
  auto thread = std::make_unique<EventThread>(std::move(api));
  thread->thread_ = std::thread([self = thread.get()] { self->Run(); });
  return thread;
}

EventThread::~EventThread() {
  stopping_ = true;
  if (!thread_.joinable()) return;
  // A timer that is due at once ends the wait.
  const int now = api_->virEventAddTimeout(0, Ignore, nullptr, nullptr);
  thread_.join();
  if (now >= 0) api_->virEventRemoveTimeout(now);
}

void EventThread::Run() {
  while (!stopping_) {
    if (api_->virEventRunDefaultImpl() < 0) return;
  }
}

}  // namespace claw::vm
