#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/model/sandbox.h"
#include "agent/rpc/context.h"
#include "claw/node/v1/sandbox.pb.h"
#include "drivers/driver.h"

namespace claw::rpc {

struct LogOptions {
  bool follow = false;
  int64_t tail_lines = 0;  // 0: all
  std::optional<Time> since{};
  bool mark_caught_up = false;  // with `follow`: say when there is nothing more at present
};

// Takes one chunk; false: its reader is gone.
using EmitChunk = std::function<Task<bool>(node::v1::LogChunk)>;

// Gives a sandbox's output to `emit`, in order. With `follow` until the sandbox has ended and its
// log has been read to the end; answers with the sandbox as it ended then. CANCELLED when the
// reader has gone. `id` is no display name: that may pass to another sandbox meanwhile.
Task<StatusOr<std::optional<Sandbox>>> StreamLog(const Context& context, std::string id,
                                                 LogOptions options, EmitChunk emit);

// The records of the last `lines` lines, of which one may be unfinished. At most `max_bytes`: older
// ones go first.
class LogTail {
 public:
  LogTail(int64_t lines, size_t max_bytes) : lines_(lines), max_bytes_(max_bytes) {}
  void Add(drivers::LogRecord record);
  std::vector<drivers::LogRecord> Take();

 private:
  bool TooMany() const;
  void DropFirst();

  const int64_t lines_;
  const size_t max_bytes_;
  size_t bytes_ = 0;
  int64_t finished_ = 0;
  std::deque<drivers::LogRecord> records_;
};

// Records as messages. Those that were written at once (same stream, same time) share one.
std::vector<node::v1::LogChunk> ToChunks(std::vector<drivers::LogRecord> records);

}  // namespace claw::rpc
