#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {
namespace {

// Tells its sandbox when it is closed, from whatever thread that happens on.
class CountedLogReader final : public drivers::LogReader {
 public:
  CountedLogReader(std::unique_ptr<drivers::LogReader> reader, std::function<void()> on_close)
      : reader_(std::move(reader)), on_close_(std::move(on_close)) {}
  ~CountedLogReader() override { on_close_(); }

  StatusOr<std::vector<drivers::LogRecord>> Read() override { return reader_->Read(); }
  int change_fd() const override { return reader_->change_fd(); }

 private:
  std::unique_ptr<drivers::LogReader> reader_;
  std::function<void()> on_close_;
};

Status NotRunning(const Sandbox& record) {
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("sandbox ", record.id, " is ", ToString(record.state), ", not RUNNING"),
                   {.reason = "NOT_RUNNING",
                    .constraint = "state",
                    .needed = "RUNNING",
                    .available = std::string(ToString(record.state))});
}

}  // namespace

Task<StatusOr<std::unique_ptr<drivers::LogReader>>> Node::OpenLog(std::string name) {
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<Entry> entry, FindOrError(name));
  drivers::Driver* driver = DriverFor(entry->record);
  if (driver == nullptr || entry->record.handle.data.empty()) co_return NotRunning(entry->record);
  ++entry->log_readers;
  auto work = [driver, handle = entry->record.handle] { return driver->OpenLog(handle); };
  StatusOr<std::unique_ptr<drivers::LogReader>> reader =
      co_await PoolFor(entry->record).Run(std::move(work));
  auto on_close = [entry, executor = deps_.strand] {
    asio::post(executor, [entry] {
      --entry->log_readers;
      // One who came while it ran and stayed until the end has seen it all.
      entry->log_was_read = entry->log_was_read || IsTerminal(entry->record.state);
      entry->changed.NotifyAll();
    });
  };
  if (!reader.ok()) {
    on_close();
    co_return reader.status();
  }
  co_return std::make_unique<CountedLogReader>(*std::move(reader), std::move(on_close));
}

Task<StatusOr<UniqueFd>> Node::OpenInput(std::string name) {
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<Entry> entry, FindOrError(name));
  if (IsTerminal(entry->record.state)) co_return NotRunning(entry->record);
  if (!entry->record.spec.stdin_open) {
    co_return MakeError(StatusCode::kFailedPrecondition,
                        StrCat("sandbox ", entry->record.id, " was started without standard input"),
                        {.reason = "NO_STDIN", .constraint = "stdin_open"});
  }
  drivers::Driver* driver = DriverFor(entry->record);
  auto work = [driver, handle = entry->record.handle] { return driver->OpenInput(handle); };
  co_return co_await PoolFor(entry->record).Run(std::move(work));
}

Task<Status> Node::ResizeTerminal(std::string name, int rows, int columns) {
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<Entry> entry, FindOrError(name));
  if (IsTerminal(entry->record.state)) co_return NotRunning(entry->record);
  drivers::Driver* driver = DriverFor(entry->record);
  auto work = [driver, handle = entry->record.handle, rows, columns] {
    return driver->ResizeTerminal(handle, rows, columns);
  };
  co_return co_await PoolFor(entry->record).Run(std::move(work));
}

Task<StatusOr<std::unique_ptr<drivers::ExecSession>>> Node::Exec(std::string name,
                                                                 drivers::ExecSpec spec) {
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<Entry> entry, FindOrError(name));
  if (entry->record.state != SandboxState::kRunning) co_return NotRunning(entry->record);
  drivers::Driver* driver = DriverFor(entry->record);
  auto work = [driver, handle = entry->record.handle, spec] { return driver->Exec(handle, spec); };
  co_return co_await PoolFor(entry->record).Run(std::move(work));
}

}  // namespace claw::lifecycle
