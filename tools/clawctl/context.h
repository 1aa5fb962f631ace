#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/base/system_defaults.h"
#include "tools/clawctl/client.h"
#include "tools/clawctl/io.h"
#include "tools/clawctl/output.h"

namespace claw::ctl {

Time ToTime(const google::protobuf::Timestamp& time);

// Options that every command has.
struct GlobalOptions {
  std::string socket{kSystemDefaults.socket};
  std::optional<Format> format;  // absent: the command's own choice
  std::optional<std::chrono::milliseconds> timeout;
  bool no_color = false;
  bool verbose = false;
};

// What one invocation of clawctl works with. Output methods may be called from several threads.
class Context {
 public:
  Context(Io io, const Clock& clock) : io_(io), clock_(clock) {}

  GlobalOptions options;
  // The words behind "--"; absent if there was none.
  std::optional<std::vector<std::string>> program;
  // The command has use for them.
  bool takes_program = false;
  // What the command line asks for; set while it is parsed. Answers the exit code.
  std::function<int()> action;

  // Made on first use, from `options`.
  Client& client();

  [[nodiscard]] const Io& io() const { return io_; }
  [[nodiscard]] Time Now() const { return clock_.Now(); }
  [[nodiscard]] Format FormatOr(Format fallback) const { return options.format.value_or(fallback); }
  [[nodiscard]] Format format() const { return FormatOr(Format::kTable); }
  [[nodiscard]] bool UsesColor() const;
  [[nodiscard]] bool OutIsTerminal() const;
  [[nodiscard]] bool ErrIsTerminal() const;
  // How long ago, for tables; "-" if the time is not set.
  [[nodiscard]] std::string AgeOf(bool has_time, const google::protobuf::Timestamp& time) const;

  // Writes all of it; a reader that has gone away is no error of ours.
  void Out(std::string_view text) const;
  void Err(std::string_view text) const;
  // "clawctl: TEXT" on standard error.
  void Notice(std::string_view text) const;
  // Prints the error and answers its exit code (0 for OK).
  [[nodiscard]] int Report(const Status& status) const;

  // In the asked-for format; tables are what the callback builds.
  void PrintItem(const google::protobuf::Message& item,
                 const std::function<std::string(bool wide)>& table) const;
  void PrintList(const Messages& items, const Table& table) const;

 private:
  const Io io_;
  const Clock& clock_;
  std::unique_ptr<Client> client_;
};

}  // namespace claw::ctl
