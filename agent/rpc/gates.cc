#include "agent/rpc/gates.h"

namespace claw::rpc {

Task<bool> WriteGate::Enter() {
  while (in_flight_ && !broken_) co_await changed_.Wait();
  if (broken_) co_return false;
  in_flight_ = true;
  co_return true;
}

void WriteGate::Written(bool ok) {
  in_flight_ = false;
  if (!ok) broken_ = true;
  changed_.NotifyAll();
}

void WriteGate::Break() {
  broken_ = true;
  changed_.NotifyAll();
}

Task<void> WriteGate::Settle() {
  while (in_flight_) co_await changed_.Wait();
}

bool ReadGate::MustStart() {
  if (pending_ || closed_ || !ok_) return false;
  pending_ = true;
  return true;
}

Task<bool> ReadGate::Wait() {
  while (pending_ && !closed_) co_await changed_.Wait();
  co_return ok_ && !closed_;
}

void ReadGate::Arrived(bool ok) {
  pending_ = false;
  ok_ = ok;
  changed_.NotifyAll();
}

void ReadGate::Close() {
  closed_ = true;
  changed_.NotifyAll();
}

}  // namespace claw::rpc
