#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "drivers/driver.h"
#include "drivers/guest/guest_client.h"

namespace claw::drivers {

// Tells of the ends of a guest's sandboxes: one stream for all of them, from the first Watch on, on
// one thread. When the stream breaks it is opened anew, and begins with everything there is, so
// that no end is missed. Thread-safe.
class ExitWatch {
 public:
  explicit ExitWatch(GuestClientPtr client) : client_(std::move(client)) {}
  ~ExitWatch();

  // Calls `on_exit` once, on any thread, not after Forget of the id or the end of this. It may
  // not call this watch.
  void Watch(const std::string& id, std::function<void(ExitObservation)> on_exit);
  void Forget(const std::string& id);

 private:
  void Run();
  void ReadStream(grpc::ClientContext& context);
  void Tell(const std::string& id, const ExitObservation& seen);
  void Look(const std::string& id);

  const GuestClientPtr client_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::function<void(ExitObservation)>> waiting_;
  grpc::ClientContext* stream_ = nullptr;  // that is open
  bool stopping_ = false;
  std::thread thread_;
};

// How a sandbox ended, as its guest has it.
ExitObservation ToObservation(const pb::Sandbox& sandbox);
bool IsOver(const pb::Sandbox& sandbox);

}  // namespace claw::drivers
