#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "agent/base/status.h"
#include "agent/model/syscalls.h"

namespace claw::drivers {

// Reads what runsc logs with --debug --strace, piece by piece, in bounded memory. Of interest are
//   … strace.go:608] [   1:   1] true X rseq(0x7f39, …) = 0 (0x0) errno=38 (invalid …) (181µs)
//   … compat.go:123] Unsupported syscall rseq(0x7f39, …). It is likely that …
// What the sandbox's programs write stands in there as they like, so they can add calls that they
// never made. They cannot take away those that they made and that failed.
class SyscallLog {
 public:
  void Feed(std::string_view piece);
  // Not all was read.
  void Cut() { cut_ = true; }

  struct Failure {
    int64_t count = 0;
    bool reported = false;
  };
  // By name as in the log ("sys_444") and errno.
  const std::map<std::pair<std::string, int>, Failure>& failures() const { return failures_; }
  // Whether a call of this name has succeeded.
  bool Worked(const std::string& name) const { return worked_.count(name) > 0; }
  bool cut() const { return cut_; }

 private:
  void AddLine(std::string_view line);
  void AddExit(std::string_view text);
  void AddUnsupported(std::string_view text);

  std::string rest_;  // of a line whose end has not come yet
  bool skipping_ = false;
  std::map<std::pair<std::string, int>, Failure> failures_;
  std::set<std::string> worked_;
  std::set<std::string> reported_;  // calls that were complained about and have not ended yet
  bool cut_ = false;
};

// What `runsc help syscalls -format json` says of one architecture: support by number.
using SupportTable = std::map<int, FailedCall::Support>;
StatusOr<SupportTable> ParseSupportTable(const std::string& json, const std::string& architecture);

// The log's findings with the names that Linux has for them.
SyscallReport MakeReport(const SyscallLog& log, const SupportTable& table);

}  // namespace claw::drivers
