#include "store/sqlite_error.h"

#include <sqlite3.h>

#include <cerrno>

#include "agent/base/file.h"

namespace claw::store {
namespace {

constexpr std::string_view kCorrupt = "DATABASE_CORRUPT";
constexpr std::string_view kSqlError = "SQL_ERROR";
constexpr std::chrono::milliseconds kBusyRetry{1000};
constexpr std::chrono::milliseconds kFullRetry{5000};

bool NoRoom(int code, int extended, int system_errno) {
  if (code == SQLITE_FULL) return true;
  if (code != SQLITE_IOERR && code != SQLITE_CANTOPEN) return false;
  // SQLite does not keep the errno when the file of the WAL index cannot grow.
  return extended == SQLITE_IOERR_SHMSIZE || system_errno == ENOSPC || system_errno == EDQUOT;
}

// What was read is wrong, or the disk can no longer give it (Linux's EIO is SQLite's CORRUPTFS).
// Any other read that failed says nothing about the file: it may be back soon.
bool ReadsBadly(int extended) {
  return extended == SQLITE_IOERR_SHORT_READ || extended == SQLITE_IOERR_DATA ||
         extended == SQLITE_IOERR_CORRUPTFS;
}

Status DiskFull(const std::filesystem::path& path, std::string_view message) {
  const auto free_bytes = FreeDiskBytes(path.parent_path().empty() ? "." : path.parent_path());
  return MakeError(StatusCode::kResourceExhausted, message,
                   {.reason = "DISK_FULL",
                    .constraint = StrCat("free space for ", path.string()),
                    .available = free_bytes.ok() ? StrCat(*free_bytes, " bytes") : "",
                    .retry_after = kFullRetry});
}

bool HasReason(const Status& status, std::string_view reason) {
  const auto detail = GetErrorDetail(status);
  return detail && detail->reason == reason;
}

}  // namespace

Status FromSqlite(const SQLite::Exception& error, int system_errno,
                  const std::filesystem::path& path, std::string_view doing) {
  const int extended = error.getExtendedErrorCode();
  const int code = error.getErrorCode() & 0xff;
  const std::string message =
      StrCat(doing, ": ", error.what(), " (SQLite ", extended, ", ", path.string(), ")");
  if (NoRoom(code, extended, system_errno)) return DiskFull(path, message);
  switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_INTERRUPT:
    case SQLITE_PROTOCOL:  // the race for the log's lock was lost too often
      return MakeError(StatusCode::kUnavailable, message,
                       {.reason = "DATABASE_BUSY", .retry_after = kBusyRetry});
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return CorruptError(message);
    case SQLITE_IOERR:
      if (extended == SQLITE_IOERR_NOMEM) break;
      if (ReadsBadly(extended)) return CorruptError(message);
      return MakeError(StatusCode::kDataLoss, message, {.reason = "DISK_IO_ERROR"});
    case SQLITE_NOMEM:
      break;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return MakeError(StatusCode::kPermissionDenied, message, {.reason = "PERMISSION_DENIED"});
    case SQLITE_CONSTRAINT:
      return AlreadyExists(message);
    case SQLITE_TOOBIG:
      return InvalidArgument(message);
    case SQLITE_CANTOPEN:
      if (system_errno != 0) return ErrnoError(system_errno, message);
      return FailedPrecondition(message);
    case SQLITE_NOLFS:
      return FailedPrecondition(message);
    case SQLITE_ERROR:
      return MakeError(StatusCode::kInternal, message, {.reason = std::string(kSqlError)});
    default:
      return Internal(message);
  }
  return MakeError(StatusCode::kResourceExhausted, message,
                   {.reason = "OUT_OF_MEMORY", .retry_after = kBusyRetry});
}

Status CorruptError(std::string_view message) {
  return MakeError(StatusCode::kDataLoss, message, {.reason = std::string(kCorrupt)});
}

bool IsCorrupt(const Status& status) {
  return status.code() == StatusCode::kDataLoss && HasReason(status, kCorrupt);
}

bool IsSqlError(const Status& status) {
  return status.code() == StatusCode::kInternal && HasReason(status, kSqlError);
}

}  // namespace claw::store
