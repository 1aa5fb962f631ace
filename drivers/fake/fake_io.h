#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "agent/base/unique_fd.h"

namespace claw::drivers {

// One thread that moves bytes between descriptors and the programs of a FakeWorld. Thread-safe.
// What has not been written when it stops is dropped.
class FakeIo {
 public:
  FakeIo();
  ~FakeIo();
  FakeIo(const FakeIo&) = delete;
  FakeIo& operator=(const FakeIo&) = delete;

  // Ends and joins the thread. Not from a callback.
  void Stop();

  // Calls `on_data` on the thread with what comes from `fd`, and once with "" at its end.
  void AddReader(UniqueFd fd, std::function<void(std::string_view)> on_data);

  // Takes one end of a socket pair to write to, however slowly the other end is read.
  uint64_t AddWriter(UniqueFd fd);
  void Write(uint64_t writer, std::string_view data);
  // Lets the other end see the end once everything has been written.
  void CloseWriter(uint64_t writer);

 private:
  struct Reader {
    UniqueFd fd;
    std::function<void(std::string_view)> on_data;
  };
  struct Writer {
    UniqueFd fd;
    std::string pending;
    bool closing = false;
  };

  void Loop();
  void Wake();
  void ReadFrom(uint64_t token);
  void Flush(uint64_t token);

  UniqueFd wake_read_;
  UniqueFd wake_write_;
  std::mutex mutex_;
  bool stopping_ = false;
  uint64_t next_token_ = 1;
  std::map<uint64_t, Reader> readers_;
  std::map<uint64_t, Writer> writers_;
  std::thread thread_;
};

// Two connected sockets, non-blocking and close-on-exec: {ours, theirs}. Aborts if there are none.
std::pair<UniqueFd, UniqueFd> MakeSocketPair();

// {read end, write end} of a pipe, both non-blocking. Aborts if there is none.
std::pair<UniqueFd, UniqueFd> MakeBell();

}  // namespace claw::drivers
