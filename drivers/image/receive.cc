#include "drivers/image/receive.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "agent/base/bytes.h"
#include "agent/base/clock.h"
#include "agent/base/file.h"
#include "agent/base/joining_thread.h"
#include "drivers/image/errors.h"
#include "drivers/image/tree_untar.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;

// Bytes from a thread that is given them to one that asks for them. Nothing is copied: who gives
// waits until they are used.
class Handoff {
 public:
  // Answers with the other end's error, if it has ended with one.
  Status Give(std::string_view bytes) {
    if (bytes.empty()) return absl::OkStatus();
    std::unique_lock lock(mutex_);
    bytes_ = bytes;
    changed_.notify_all();
    changed_.wait(lock, [this] { return bytes_.empty() || taker_ended_; });
    return result_;
  }
  void End() { Set(ended_); }
  // What was given is not to be used any more.
  void Abort() { Set(aborted_); }

  // Empty: no more will come.
  StatusOr<std::string_view> Next() {
    std::unique_lock lock(mutex_);
    if (std::exchange(in_use_, false)) {
      bytes_ = {};
      changed_.notify_all();
    }
    changed_.wait(lock, [this] { return !bytes_.empty() || ended_ || aborted_; });
    if (aborted_) return MakeError(StatusCode::kCancelled, "the sender has given up");
    in_use_ = !bytes_.empty();
    return bytes_;
  }
  void TakerEnded(const Status& result) {
    const std::lock_guard lock(mutex_);
    result_ = result;
    taker_ended_ = true;
    changed_.notify_all();
  }

 private:
  void Set(bool& flag) {
    const std::lock_guard lock(mutex_);
    flag = true;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string_view bytes_;
  bool in_use_ = false;
  bool ended_ = false;
  bool aborted_ = false;
  bool taker_ended_ = false;
  Status result_;
};

// What the image that is there lacks of the record.
StatusOr<Image> Merge(ImageDisk& disk, Image found, const Image& record) {
  for (const std::string& signer : record.signers) {
    RETURN_IF_ERROR(disk.AddSigner(found, signer));
  }
  for (const std::string& name : record.names) RETURN_IF_ERROR(disk.AddName(found, name));
  return found;
}

class AlreadyThere final : public Incoming {
 public:
  AlreadyThere(ImageDisk& disk, Image record) : disk_(disk), record_(std::move(record)) {}

  bool already_there() const override { return true; }
  Status Write(std::string_view /*bytes*/) override { return absl::OkStatus(); }
  StatusOr<Image> Finish() override {
    const ImageDisk::Lock lock = disk_.LockDigest(record_.digest);
    ASSIGN_OR_RETURN(auto found, disk_.Find(record_.digest));
    if (found) return Merge(disk_, *std::move(found), record_);
    return Unavailable("image ", record_.digest, " was removed meanwhile; send it again");
  }

 private:
  ImageDisk& disk_;
  const Image record_;
};

class Arriving final : public Incoming {
 public:
  Arriving(ImageDisk& disk, Image record, const ReceiveLimits& limits, Scratch scratch,
           std::function<Status(const Status&)> explain)
      : disk_(disk),
        record_(std::move(record)),
        limits_(limits),
        explain_(std::move(explain)),
        scratch_(std::move(scratch)),
        unpacker_([this] { Unpack(); }) {}
  ~Arriving() override { bytes_.Abort(); }

  bool already_there() const override { return false; }

  Status Write(std::string_view bytes) override {
    if (!failed_.ok()) return failed_;
    Status status = CheckDisk();
    if (status.ok()) status = bytes_.Give(bytes);
    if (!status.ok()) failed_ = explain_(status);
    return failed_;
  }

  StatusOr<Image> Finish() override {
    if (!failed_.ok()) return failed_;
    bytes_.End();
    unpacker_.join();
    auto image = Publish();
    if (!image.ok()) failed_ = explain_(image.status());
    return image.ok() ? image : failed_;
  }

 private:
  [[nodiscard]] fs::path Staging() const { return scratch_.path() / "image"; }
  [[nodiscard]] fs::path Rootfs() const { return Staging() / "rootfs"; }

  void Unpack() {
    Status status = EnsureDirectory(Rootfs(), 0755);
    if (status.ok()) {
      status = UnpackTree([this] { return bytes_.Next(); }, limits_.scan, Rootfs());
    }
    unpacked_ = status;
    bytes_.TakerEnded(status);
  }

  Status CheckDisk() const {
    ASSIGN_OR_RETURN(const int64_t free_bytes, FreeDiskBytes(disk_.root()));
    if (free_bytes >= limits_.min_free_disk_bytes) return absl::OkStatus();
    return DiskFull(StrCat("only ", FormatBytes(free_bytes), " free while the image came"),
                    limits_.min_free_disk_bytes, free_bytes);
  }

  // After the thread that unpacks.
  StatusOr<Image> Publish() {
    RETURN_IF_ERROR(unpacked_);
    ASSIGN_OR_RETURN(const SanitizedTree tree, Sanitize(Rootfs(), limits_.tree));
    Image image = record_;
    image.size_bytes = tree.size_bytes;
    image.dropped_device_nodes += tree.dropped_device_nodes;
    image.cleared_setuid_bits += tree.cleared_setuid_bits;
    image.created_at = SystemClock().Now();
    const ImageDisk::Lock lock = disk_.LockDigest(image.digest);
    ASSIGN_OR_RETURN(auto found, disk_.Find(image.digest));
    if (found) return Merge(disk_, *std::move(found), record_);
    RETURN_IF_ERROR(disk_.Publish(Staging(), image));
    return image;
  }

  ImageDisk& disk_;
  const Image record_;
  const ReceiveLimits limits_;
  const std::function<Status(const Status&)> explain_;
  const Scratch scratch_;
  Handoff bytes_;
  Status failed_;
  Status unpacked_;
  JoiningThread unpacker_;  // ends before what it uses
};

}  // namespace

StatusOr<std::unique_ptr<Incoming>> ReceiveImage(ImageDisk& disk, const Image& image,
                                                 const ReceiveLimits& limits,
                                                 std::function<Status(const Status&)> explain) {
  {
    const ImageDisk::Lock lock = disk.LockDigest(image.digest);
    ASSIGN_OR_RETURN(const auto found, disk.Find(image.digest));
    if (found) return std::make_unique<AlreadyThere>(disk, image);
  }
  if (image.size_bytes > limits.scan.disk_bytes) {
    return explain(DiskFull(StrCat("the image takes ", FormatBytes(image.size_bytes), ", ",
                                   FormatBytes(limits.scan.disk_bytes), " may be used"),
                            image.size_bytes, limits.scan.disk_bytes));
  }
  ASSIGN_OR_RETURN(Scratch scratch, disk.MakeScratch());
  return std::make_unique<Arriving>(disk, image, limits, std::move(scratch), std::move(explain));
}

}  // namespace claw::image
