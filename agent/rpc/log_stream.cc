#include "agent/rpc/log_stream.h"

#include <algorithm>

#include "agent/rpc/convert.h"
#include "agent/rpc/fd_waiter.h"
#include "agent/rpc/streams.h"
#include "agent/rpc/task_group.h"

namespace claw::rpc {
namespace {

constexpr size_t kMaxTailBytes = 16 << 20;
constexpr size_t kMaxChunkBytes = 64 << 10;

class LogPump {
 public:
  LogPump(const Context& context, std::string id, LogOptions options, EmitChunk emit)
      : context_(context),
        id_(std::move(id)),
        options_(options),
        emit_(std::move(emit)),
        beside_(context.strand) {}

  Task<StatusOr<std::optional<Sandbox>>> Run() {
    auto reader = co_await context_.node.OpenLog(id_);
    if (!reader.ok()) co_return reader.status();
    reader_ = *std::move(reader);
    if (reader_->change_fd() >= 0) {
      auto waiter = FdWaiter::Make(context_.strand, reader_->change_fd());
      if (!waiter.ok()) co_return waiter.status();
      changed_.emplace(*std::move(waiter));
    }
    if (options_.follow) {
      beside_.Spawn([this] { return AwaitEnd(); });
    }
    Status status = co_await Pump();
    co_await beside_.Stop();
    if (!status.ok()) co_return status;
    co_return std::move(ended_);
  }

 private:
  Task<Status> Pump() {
    Status status = co_await PumpPresent();
    bool complete = !options_.follow;
    while (status.ok() && !complete) {
      if (options_.mark_caught_up) {
        pb::LogChunk mark;
        mark.set_caught_up(true);
        const bool taken = co_await emit_(std::move(mark));
        if (!taken) co_return CallerGone();
      }
      co_await AwaitChange();
      const bool cancelled = co_await lifecycle::IsCancelled();
      if (cancelled) co_return CallerGone();
      // What is read from here on is all there is if nothing runs any more.
      complete = Over();
      status = co_await PumpUntilEmpty();
    }
    co_return status.ok() ? wait_error_ : status;
  }

  bool Over() const { return ended_.has_value() || !wait_error_.ok(); }

  Task<void> AwaitChange() {
    if (changed_) {
      co_await changed_->Readable();
    } else {
      auto done = [this] { return Over(); };
      co_await beside_.WaitUntil(std::move(done));
    }
  }

  Task<Status> PumpPresent() {
    if (options_.tail_lines == 0) co_return co_await PumpUntilEmpty();
    LogTail tail(options_.tail_lines, kMaxTailBytes);
    for (;;) {
      auto records = co_await ReadMore();
      if (!records.ok()) co_return records.status();
      if (records->empty()) break;
      for (drivers::LogRecord& record : *records) tail.Add(std::move(record));
    }
    co_return co_await Emit(tail.Take());
  }

  Task<Status> PumpUntilEmpty() {
    for (;;) {
      auto records = co_await ReadMore();
      if (!records.ok()) co_return records.status();
      if (records->empty()) co_return absl::OkStatus();
      const Status status = co_await Emit(*std::move(records));
      if (!status.ok()) co_return status;
    }
  }

  // Empty at the end of what is there. A reader that goes from one file to the next answers with
  // nothing once, hence two questions.
  Task<StatusOr<std::vector<drivers::LogRecord>>> ReadMore() {
    for (int attempt = 0; attempt < 2; ++attempt) {
      const bool cancelled = co_await lifecycle::IsCancelled();
      if (cancelled) co_return CallerGone();
      // The reader is shared with the pool, so that it outlives a read there.
      auto work = [reader = reader_] { return reader->Read(); };
      auto records = co_await context_.pool.Run(std::move(work));
      if (!records.ok() || !records->empty()) co_return records;
    }
    co_return std::vector<drivers::LogRecord>();
  }

  Task<Status> Emit(std::vector<drivers::LogRecord> records) {
    if (options_.since) {
      std::erase_if(records, [this](const auto& record) { return record.time < *options_.since; });
    }
    for (pb::LogChunk& chunk : ToChunks(std::move(records))) {
      const bool taken = co_await emit_(std::move(chunk));
      if (!taken) co_return CallerGone();
    }
    co_return absl::OkStatus();
  }

  Task<Status> AwaitEnd() {
    auto sandbox = co_await context_.node.WaitSandbox(id_);
    if (sandbox.ok()) {
      ended_ = *std::move(sandbox);
    } else {
      wait_error_ = sandbox.status();
    }
    if (changed_) changed_->Stop();
    co_return sandbox.status();
  }

  const Context& context_;
  const std::string id_;
  const LogOptions options_;
  const EmitChunk emit_;
  std::shared_ptr<drivers::LogReader> reader_;
  std::optional<FdWaiter> changed_;
  std::optional<Sandbox> ended_;
  Status wait_error_;
  TaskGroup beside_;
};

}  // namespace

Task<StatusOr<std::optional<Sandbox>>> StreamLog(const Context& context, std::string id,
                                                 LogOptions options, EmitChunk emit) {
  LogPump pump(context, std::move(id), options, std::move(emit));
  co_return co_await pump.Run();
}

void LogTail::Add(drivers::LogRecord record) {
  bytes_ += record.data.size();
  finished_ += record.data.ends_with('\n') ? 1 : 0;
  records_.push_back(std::move(record));
  while (TooMany()) DropFirst();
}

bool LogTail::TooMany() const {
  if (records_.size() < 2) return false;
  const int64_t unfinished = records_.back().data.ends_with('\n') ? 0 : 1;
  return finished_ + unfinished > lines_ || bytes_ > max_bytes_;
}

void LogTail::DropFirst() {
  bytes_ -= records_.front().data.size();
  finished_ -= records_.front().data.ends_with('\n') ? 1 : 0;
  records_.pop_front();
}

std::vector<drivers::LogRecord> LogTail::Take() {
  std::vector<drivers::LogRecord> records(std::make_move_iterator(records_.begin()),
                                          std::make_move_iterator(records_.end()));
  records_.clear();
  return records;
}

std::vector<node::v1::LogChunk> ToChunks(std::vector<drivers::LogRecord> records) {
  std::vector<pb::LogChunk> chunks;
  const drivers::LogRecord* before = nullptr;
  for (const drivers::LogRecord& record : records) {
    const bool joins = before != nullptr && before->is_stderr == record.is_stderr &&
                       before->time == record.time &&
                       chunks.back().data().size() + record.data.size() <= kMaxChunkBytes;
    if (!joins) {
      pb::LogChunk& chunk = chunks.emplace_back();
      chunk.set_stream(record.is_stderr ? pb::LogChunk::STDERR : pb::LogChunk::STDOUT);
      SetTime(record.time, chunk.mutable_time());
    }
    chunks.back().mutable_data()->append(record.data);
    before = &record;
  }
  return chunks;
}

}  // namespace claw::rpc
