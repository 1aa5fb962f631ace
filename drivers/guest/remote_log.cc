#include "drivers/guest/remote_log.h"

#include <grpcpp/support/client_callback.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "drivers/guest/exit_watch.h"
#include "drivers/guest/signal_pipe.h"

namespace claw::drivers {
namespace {

constexpr size_t kMaxKeptBytes = 1 << 20;
constexpr size_t kMaxReadBytes = 256 << 10;

class RemoteLog final : public LogReader, private grpc::ClientReadReactor<pb::LogChunk> {
 public:
  RemoteLog(GuestClientPtr client, std::string id, SignalPipe changed)
      : client_(std::move(client)), id_(std::move(id)), changed_(std::move(changed)) {
    request_.set_name(StrCat("sandboxes/", id_));
    request_.set_follow(true);
    request_.set_mark_caught_up(true);
    client_->sandboxes->async()->StreamLogs(&context_, &request_, this);
    AddHold();  // reads are begun from outside of the reactions, too
    StartRead(&chunk_);
    StartCall();
  }

  ~RemoteLog() override {
    context_.TryCancel();
    std::unique_lock lock(mutex_);
    if (paused_) {
      paused_ = false;
      lock.unlock();
      EndReading();
      lock.lock();
    }
    wake_.wait(lock, [this] { return over_; });
  }

  int change_fd() const override { return changed_.fd(); }

  StatusOr<std::vector<LogRecord>> Read() override {
    for (;;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return !kept_.empty() || over_ || caught_up_; });
      if (!kept_.empty()) return Take(lock);
      if (over_) return End();
      changed_.Clear();
      lock.unlock();
      // Between the guest's last word and now it may have written more. That matters once it has
      // ended: then the stream ends, too, and has to be read to its end.
      ASSIGN_OR_RETURN(const bool ended, HasEnded());
      lock.lock();
      if (!ended && kept_.empty()) return std::vector<LogRecord>();
      if (ended) wake_.wait(lock, [this] { return !kept_.empty() || over_; });
    }
  }

 private:
  void OnReadDone(bool ok) override {
    bool more = ok;
    {
      const std::lock_guard lock(mutex_);
      if (ok) {
        caught_up_ = chunk_.caught_up();
        if (!caught_up_) Keep();
        paused_ = kept_bytes_ >= kMaxKeptBytes;
        more = !paused_;
      }
      changed_.Set();
    }
    wake_.notify_all();
    if (more) {
      StartRead(&chunk_);
    } else if (!ok) {
      EndReading();
    }
  }

  void OnDone(const grpc::Status& status) override {
    const std::lock_guard lock(mutex_);
    status_ = FromGuest(status, "read a sandbox's output");
    over_ = true;
    changed_.Set();
    wake_.notify_all();  // under the lock: whoever waits destroys this
  }

  // No read is begun any more.
  void EndReading() { RemoveHold(); }

  void Keep() {
    LogRecord record;
    record.time = FromMicros(chunk_.time().seconds() * 1'000'000 + chunk_.time().nanos() / 1000);
    record.is_stderr = chunk_.stream() == pb::LogChunk::STDERR;
    record.data = std::move(*chunk_.mutable_data());
    kept_bytes_ += record.data.size();
    kept_.push_back(std::move(record));
  }

  std::vector<LogRecord> Take(std::unique_lock<std::mutex>& lock) {
    std::vector<LogRecord> records;
    for (size_t bytes = 0; !kept_.empty() && bytes < kMaxReadBytes;) {
      bytes += kept_.front().data.size();
      kept_bytes_ -= kept_.front().data.size();
      records.push_back(std::move(kept_.front()));
      kept_.pop_front();
    }
    if (paused_ && kept_bytes_ < kMaxKeptBytes) {
      paused_ = false;
      lock.unlock();
      StartRead(&chunk_);
    }
    return records;
  }

  StatusOr<std::vector<LogRecord>> End() {
    // A place that is only reserved has written nothing.
    if (!status_.ok() && !HasReason(status_, "NOT_RUNNING")) return status_;
    changed_.Clear();
    return std::vector<LogRecord>();
  }

  StatusOr<bool> HasEnded() const {
    pb::GetSandboxRequest request;
    request.set_name(StrCat("sandboxes/", id_));
    const auto found = Ask(*client_->sandboxes, &pb::SandboxService::Stub::GetSandbox, request,
                           "look whether a sandbox has ended");
    if (found.status().code() == StatusCode::kNotFound) return true;
    RETURN_IF_ERROR(found.status());
    return IsOver(*found);
  }

  const GuestClientPtr client_;
  const std::string id_;
  grpc::ClientContext context_;
  pb::StreamLogsRequest request_;
  pb::LogChunk chunk_;  // being read
  std::mutex mutex_;
  std::condition_variable wake_;
  SignalPipe changed_;
  std::deque<LogRecord> kept_;
  size_t kept_bytes_ = 0;
  bool caught_up_ = false;
  bool paused_ = false;  // no read is under way, as too much is kept
  bool over_ = false;
  Status status_;
};

}  // namespace

StatusOr<std::unique_ptr<LogReader>> OpenRemoteLog(GuestClientPtr client, const std::string& id) {
  ASSIGN_OR_RETURN(SignalPipe changed, SignalPipe::Make());
  return std::make_unique<RemoteLog>(std::move(client), id, std::move(changed));
}

}  // namespace claw::drivers
