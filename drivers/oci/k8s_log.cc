#include "drivers/oci/k8s_log.h"

#include <absl/time/time.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "agent/base/strings.h"

namespace claw::drivers {
namespace {

constexpr size_t kReadBytes = 256 * 1024;
// A line that never ends is given in parts; conmon itself cuts lines at 8 KiB.
constexpr size_t kMaxLineBytes = 1 << 20;
// ATTRIB: the file lost its name, as when another is renamed over it.
constexpr uint32_t kChanges = IN_MODIFY | IN_ATTRIB;

class K8sLogReader final : public LogReader {
 public:
  K8sLogReader(std::string path, UniqueFd file, UniqueFd inotify, std::string hidden_prefix)
      : path_(std::move(path)),
        file_(std::move(file)),
        inotify_(std::move(inotify)),
        hidden_prefix_(std::move(hidden_prefix)) {}

  StatusOr<std::vector<LogRecord>> Read() override {
    DrainInotify();
    ASSIGN_OR_RETURN(const bool grew, ReadMore());
    if (!grew) {
      // At the end of a file that has been replaced its successor is read at once.
      RETURN_IF_ERROR(FollowReplacement());
      RETURN_IF_ERROR(ReadMore().status());
    }
    std::vector<LogRecord> records;
    size_t begin = 0;
    for (size_t end = 0; (end = pending_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      Add(std::string_view(pending_).substr(begin, end - begin), records);
    }
    pending_.erase(0, begin);
    if (pending_.size() > kMaxLineBytes) {
      Add(pending_, records);
      pending_.clear();
    }
    return records;
  }

  int change_fd() const override { return inotify_.get(); }

 private:
  void Add(std::string_view line, std::vector<LogRecord>& records) const {
    LogRecord record = ParseK8sLogLine(line);
    if (!hidden_prefix_.empty() && record.data.starts_with(hidden_prefix_)) return;
    records.push_back(std::move(record));
  }

  // Whether there was more to append to pending_.
  StatusOr<bool> ReadMore() {
    std::string buffer(kReadBytes, '\0');
    const ssize_t got = ::pread(file_.get(), buffer.data(), buffer.size(), offset_);
    if (got < 0) return ErrnoError(errno, "read the log");
    offset_ += got;
    pending_.append(buffer.data(), static_cast<size_t>(got));
    return got > 0;
  }

  void DrainInotify() const {
    std::array<char, 4096> events;
    while (::read(inotify_.get(), events.data(), events.size()) > 0) {
    }
  }

  // conmon puts a new file in the old one's place when the log has grown too long.
  Status FollowReplacement() {
    struct stat mine {};
    struct stat current {};
    if (::fstat(file_.get(), &mine) != 0) return ErrnoError(errno, "stat the log");
    if (::stat(path_.c_str(), &current) != 0 || current.st_ino == mine.st_ino) {
      return absl::OkStatus();
    }
    UniqueFd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file.valid()) return ErrnoError(errno, "open the log");
    ::inotify_add_watch(inotify_.get(), path_.c_str(), kChanges);
    file_ = std::move(file);
    offset_ = 0;
    pending_.clear();
    return absl::OkStatus();
  }

  std::string path_;
  UniqueFd file_;
  UniqueFd inotify_;
  std::string hidden_prefix_;
  off_t offset_ = 0;
  std::string pending_;
};

}  // namespace

LogRecord ParseK8sLogLine(std::string_view line) {
  LogRecord record;
  const size_t after_time = line.find(' ');
  const size_t after_stream =
      after_time == std::string_view::npos ? after_time : line.find(' ', after_time + 1);
  const size_t after_tag =
      after_stream == std::string_view::npos ? after_stream : line.find(' ', after_stream + 1);
  absl::Time time;
  std::string error;
  if (after_tag == std::string_view::npos ||
      !absl::ParseTime(absl::RFC3339_full, ToAbsl(line.substr(0, after_time)), &time, &error)) {
    record.data = StrCat(line, "\n");
    return record;
  }
  record.time = FromMicros(absl::ToUnixMicros(time));
  record.is_stderr = line.substr(after_time + 1, after_stream - after_time - 1) == "stderr";
  const bool partial = line.substr(after_stream + 1, after_tag - after_stream - 1) == "P";
  record.data = StrCat(line.substr(after_tag + 1), partial ? "" : "\n");
  return record;
}

StatusOr<std::unique_ptr<LogReader>> OpenK8sLog(const std::filesystem::path& path,
                                                const std::string& hidden_prefix) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid()) return ErrnoError(errno, "open the log");
  UniqueFd inotify(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify.valid() || ::inotify_add_watch(inotify.get(), path.c_str(), kChanges) < 0) {
    return ErrnoError(errno, "watch the log");
  }
  return std::make_unique<K8sLogReader>(path.string(), std::move(file), std::move(inotify),
                                        hidden_prefix);
}

}  // namespace claw::drivers
