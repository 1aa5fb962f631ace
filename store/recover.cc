#include "store/recover.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "agent/base/file.h"
#include "store/sqlite_error.h"

namespace claw::store {
namespace fs = std::filesystem;
namespace {

fs::path WithSuffix(const fs::path& path, std::string_view suffix) {
  fs::path result = path;
  result += suffix;
  return result;
}

fs::path FolderOf(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

Status SyncFolder(const fs::path& path) {
  const fs::path folder = FolderOf(path);
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid() && ::fsync(fd.get()) == 0) return absl::OkStatus();
  return ErrnoError(errno, StrCat("sync ", folder.string()));
}

// "20261124T021221.333Z": sorts by time, and has no character that a shell minds.
std::string CompactTime(Time now) {
  std::string text = FormatTime(now);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text;
}

std::string CorruptPrefix(const fs::path& path) {
  return StrCat(path.filename().string(), ".corrupt-");
}

StatusOr<fs::path> FreeName(const fs::path& path, Time now) {
  const fs::path base = FolderOf(path) / StrCat(CorruptPrefix(path), CompactTime(now));
  fs::path name = base;
  std::error_code error;
  for (int n = 2; fs::exists(fs::symlink_status(name, error)); ++n) {
    name = WithSuffix(base, StrCat("-", n));
  }
  return name;
}

// What one PRAGMA that answers with rows of text says first.
StatusOr<std::string> FirstAnswer(Connection& db, const std::string& pragma) {
  std::string answer;
  RETURN_IF_ERROR(db.Guard(pragma, [&] {
    Query query = db.Prepare(pragma);
    if (query->executeStep()) answer = query->getColumn(0).getString();
  }));
  return answer;
}

}  // namespace

StatusOr<UniqueFd> LockDatabase(const fs::path& path) {
  const fs::path lock = WithSuffix(path, ".lock");
  UniqueFd fd(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return ErrnoError(errno, StrCat("open ", lock.string()));
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return ErrnoError(errno, StrCat("lock ", lock.string()));
    return MakeError(StatusCode::kUnavailable,
                     StrCat("another process has ", path.string(), " open"),
                     {.reason = "DATABASE_LOCKED",
                      .constraint = lock.string(),
                      .retry_after = std::chrono::milliseconds(1000)});
  }
  return fd;
}

StatusOr<std::optional<Quarantined>> PrepareFile(const fs::path& path, Time now) {
  std::optional<Quarantined> moved;
  std::error_code error;
  const bool exists = fs::exists(path, error);
  if (error) return ErrnoError(error.value(), StrCat("look for ", path.string()));
  if (exists && !fs::is_regular_file(path, error)) {
    return FailedPrecondition(path.string(), " is not a file");
  }
  const bool empty = exists && fs::file_size(path, error) == 0;
  const bool orphaned_log = !exists && (fs::exists(WithSuffix(path, "-wal"), error) ||
                                        fs::exists(WithSuffix(path, "-journal"), error));
  if (exists && !empty) return moved;
  if (empty || orphaned_log) {
    ASSIGN_OR_RETURN(
        moved, MoveAside(path, empty ? "the file is empty" : "a log without its database", now));
  }
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return ErrnoError(errno, StrCat("create ", path.string()));
  RETURN_IF_ERROR(SyncFolder(path));
  return moved;
}

StatusOr<Quarantined> MoveAside(const fs::path& path, std::string_view why, Time now) {
  ASSIGN_OR_RETURN(const fs::path aside, FreeName(path, now));
  // The database goes first: a crash in between leaves a log without a database, which PrepareFile
  // knows. The other way round it would leave a database that lost its last writes unnoticed.
  for (const std::string_view suffix : {"", "-wal", "-journal", "-shm"}) {
    const fs::path from = WithSuffix(path, suffix);
    if (::rename(from.c_str(), WithSuffix(aside, suffix).c_str()) != 0 && errno != ENOENT) {
      return ErrnoError(errno, StrCat("move ", from.string(), " aside"));
    }
  }
  RETURN_IF_ERROR(SyncFolder(path));
  return Quarantined{
      .what = path.filename().string(), .why = std::string(why), .where = aside.string()};
}

StatusOr<bool> WasMovedAside(const fs::path& path) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(FolderOf(path)));
  const std::string prefix = CorruptPrefix(path);
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return name.starts_with(prefix); });
}

Status CheckIntegrity(Connection& db) {
  ASSIGN_OR_RETURN(const std::string found, FirstAnswer(db, "PRAGMA integrity_check(1)"));
  if (found == "ok") return absl::OkStatus();
  // quick_check looks at the same pages but does not compare indexes with tables: if it is content,
  // then only an index is wrong, and everything in it can be had from its table.
  ASSIGN_OR_RETURN(const std::string tables, FirstAnswer(db, "PRAGMA quick_check(1)"));
  if (tables != "ok") return CorruptError(StrCat("integrity check: ", tables));
  const Status rebuilt = db.Guard("rebuild the indexes", [&] { db.Execute("REINDEX"); });
  if (rebuilt.code() == StatusCode::kAlreadyExists) return CorruptError(ToStd(rebuilt.message()));
  return rebuilt;
}

Status CheckWritable(const Connection& db, const fs::path& path) {
  if (!db.ReadOnly()) return absl::OkStatus();
  if (::access(path.c_str(), W_OK) != 0) return ErrnoError(errno, StrCat("write ", path.string()));
  return CorruptError("the header says that the database is read-only");
}

}  // namespace claw::store
