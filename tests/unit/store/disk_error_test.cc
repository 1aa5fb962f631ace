#include <sqlite3.h>

#include <catch2/catch.hpp>
#include <stdexcept>

#include "agent/base/file.h"
#include "tests/unit/store/fixture.h"

// Invariant I5 has a limit: only what is wrong in the file may move the file. A disk that fails, or
// a machine that has run out of something, must not cost the node its records.

namespace claw::store::testing {
namespace {

// SQLite's own way to the disk, until it fails with `code` after so many calls of one kind. While
// one of these lives it is what every new connection uses.
class FailingDisk {
 public:
  enum class Call { kOpen, kRead, kLock };
  FailingDisk(Call call, int code, int successes) {
    call_ = call;
    code_ = code;
    successes_left_ = successes;
    failures_ = 0;
    real_ = ::sqlite3_vfs_find("unix");
    if (real_ == nullptr) throw std::runtime_error("this SQLite has no VFS named unix");
    vfs_ = *real_;
    vfs_.pNext = nullptr;
    vfs_.zName = "failing";
    vfs_.xOpen = Open;
    if (::sqlite3_vfs_register(&vfs_, 1) != SQLITE_OK) throw std::runtime_error("register");
  }
  ~FailingDisk() {
    ::sqlite3_vfs_unregister(&vfs_);
    ::sqlite3_vfs_register(real_, 1);
  }
  FailingDisk(const FailingDisk&) = delete;
  FailingDisk& operator=(const FailingDisk&) = delete;

  [[nodiscard]] int failures() const { return failures_; }

 private:
  static bool Fails(Call call) {
    if (call != call_ || successes_left_-- > 0) return false;
    ++failures_;
    return true;
  }
  static int Open(sqlite3_vfs*, sqlite3_filename name, sqlite3_file* file, int flags, int* out) {
    if ((flags & SQLITE_OPEN_MAIN_DB) == 0) return real_->xOpen(real_, name, file, flags, out);
    if (Fails(Call::kOpen)) {
      file->pMethods = nullptr;
      return code_;
    }
    const int opened = real_->xOpen(real_, name, file, flags, out);
    if (opened != SQLITE_OK) return opened;
    real_methods_ = file->pMethods;
    methods_ = *real_methods_;
    methods_.xRead = Read;
    methods_.xLock = Lock;
    file->pMethods = &methods_;
    return SQLITE_OK;
  }
  static int Read(sqlite3_file* file, void* to, int bytes, sqlite3_int64 at) {
    return Fails(Call::kRead) ? code_ : real_methods_->xRead(file, to, bytes, at);
  }
  static int Lock(sqlite3_file* file, int level) {
    return Fails(Call::kLock) ? code_ : real_methods_->xLock(file, level);
  }

  // SQLite's callbacks get no pointer of ours.
  static inline Call call_ = Call::kOpen;
  static inline int code_ = 0;
  static inline int successes_left_ = 0;
  static inline int failures_ = 0;
  static inline sqlite3_vfs* real_ = nullptr;
  static inline const sqlite3_io_methods* real_methods_ = nullptr;
  static inline sqlite3_io_methods methods_{};
  sqlite3_vfs vfs_{};
};

struct Failure {
  FailingDisk::Call call;
  int code;
  StatusCode answer;
  const char* reason;
};

TEST_CASE("a disk that fails stops the start and leaves the database where it is") {
  using enum FailingDisk::Call;
  const Failure failure = GENERATE(values<Failure>({
      {kOpen, SQLITE_CANTOPEN, StatusCode::kFailedPrecondition, "FAILED_PRECONDITION"},
      {kOpen, SQLITE_PERM, StatusCode::kPermissionDenied, "PERMISSION_DENIED"},
      {kOpen, SQLITE_NOLFS, StatusCode::kFailedPrecondition, "FAILED_PRECONDITION"},
      {kOpen, SQLITE_IOERR_ACCESS, StatusCode::kDataLoss, "DISK_IO_ERROR"},
      {kRead, SQLITE_IOERR_READ, StatusCode::kDataLoss, "DISK_IO_ERROR"},
      {kRead, SQLITE_IOERR_NOMEM, StatusCode::kResourceExhausted, "OUT_OF_MEMORY"},
      {kRead, SQLITE_NOMEM, StatusCode::kResourceExhausted, "OUT_OF_MEMORY"},
      {kRead, SQLITE_FULL, StatusCode::kResourceExhausted, "DISK_FULL"},
      {kRead, SQLITE_INTERRUPT, StatusCode::kUnavailable, "DATABASE_BUSY"},
      {kRead, SQLITE_INTERNAL, StatusCode::kInternal, "INTERNAL"},
      {kLock, SQLITE_BUSY, StatusCode::kUnavailable, "DATABASE_BUSY"},
      {kLock, SQLITE_PROTOCOL, StatusCode::kUnavailable, "DATABASE_BUSY"},
      {kLock, SQLITE_IOERR_LOCK, StatusCode::kDataLoss, "DISK_IO_ERROR"},
  }));
  // At the first call, and in the middle of the checks.
  const int successes = failure.call == FailingDisk::Call::kRead ? GENERATE(0, 3) : 0;
  CAPTURE(failure.code, successes);
  const TempFolder folder;
  {
    const auto store = MustOpen(folder.database());
    REQUIRE(WriteAndWait(*store, [](Transaction& transaction) {
              return transaction.PutSandbox(MakeSandbox("aaaaaaaaaaaaaaa1"));
            }).ok());
  }
  const std::string before = ReadFile(folder.database()).value();
  {
    const FailingDisk disk(failure.call, failure.code, successes);
    const Status status = Store::Open({.path = folder.database()}).status();
    CAPTURE(ToLogString(status));
    CHECK(disk.failures() > 0);
    CHECK(status.code() == failure.answer);
    CHECK(ReasonOf(status) == failure.reason);
    CHECK(ToStd(status.message()).find(folder.database().string()) != std::string::npos);
  }
  CHECK(ReadFile(folder.database()).value() == before);
  const auto names = ListDirectory(folder.path());
  for (const std::string& name : names.value()) {
    CHECK(name.find("corrupt") == std::string::npos);
  }
  const auto store = MustOpen(folder.database());
  CHECK(store->quarantined().empty());
  CHECK(store->TakeSnapshot().sandboxes.size() == 1);
}

}  // namespace
}  // namespace claw::store::testing
