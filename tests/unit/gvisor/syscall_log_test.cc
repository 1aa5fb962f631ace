#include "drivers/gvisor/syscall_log.h"

#include <catch2/catch.hpp>
#include <cerrno>

#include "agent/base/strings.h"

namespace claw::drivers {
namespace {

using Support = FailedCall::Support;

// As runsc of December 2022 wrote it.
constexpr std::string_view kRecorded =
    "I1125 14:54:45.282630   19326 strace.go:599] [   1:   1] p X brk(0x0) = 4907008 (0x4ae000) "
    "(10.13\xc2\xb5s)\n"
    "I1125 14:54:45.283044   19326 strace.go:567] [   1:   1] p E rseq(0x4aeca0, 0x20, 0x0, "
    "0x53053053)\n"
    "I1125 14:54:45.283051   19326 compat.go:123] Unsupported syscall rseq(0x4aeca0,0x20,0x0,"
    "0x53053053,0x0,0x4ae000). It is likely that you can safely ignore this message and that this "
    "is not the cause of any error. Please, refer to https://gvisor.dev/c/linux/amd64/rseq for "
    "more information.\n"
    "D1125 14:54:45.283300   19326 task.go:100] [   1:   1] something else X rseq(\n"
    "I1125 14:54:45.283314   19326 strace.go:608] [   1:   1] p X rseq(0x4aeca0, 0x20, 0x0, "
    "0x53053053) = 0 (0x0) errno=38 (invalid system call number) (276.319\xc2\xb5s)\n"
    "I1125 14:54:45.285664   19326 strace.go:614] [   1:   1] p X sys_444(0x0, 0x0, 0x1, 0x4af378, "
    "0x4af378, 0x4af378) = 0 (0x0) errno=38 (invalid system call number) (29.826\xc2\xb5s)\n"
    "I1125 14:54:45.285131   19326 strace.go:611] [   1:   1] p X name_to_handle_at(AT_FDCWD /, "
    "0x47f67c, 0x7fff61764bb0, 0x7fff61764bac, 0x0) = 0 (0x0) errno=95 (operation not supported on "
    "transport endpoint) (1.093\xc2\xb5s)\n"
    "I1125 14:54:45.286097   19326 strace.go:608] [   1:   1] p X quotactl(0x0, 0x0, 0x0, 0x0) = 0 "
    "(0x0) errno=1 (operation not permitted) (721ns)\n";

SupportTable Table() {
  return {
      {0, Support::kFull}, {179, Support::kNone}, {303, Support::kNone}, {334, Support::kPartial}};
}

FailedCall Find(const SyscallReport& report, std::string_view name) {
  for (const FailedCall& call : report.calls) {
    if (call.name == name) return call;
  }
  return {};
}

TEST_CASE("what failed is found in a recorded log, however it is cut into pieces") {
  const size_t piece = GENERATE(1u, 7u, 64u, 100'000u);
  SyscallLog log;
  for (size_t at = 0; at < kRecorded.size(); at += piece) log.Feed(kRecorded.substr(at, piece));
  const SyscallReport report = MakeReport(log, Table());
  CHECK_FALSE(report.cut);
  REQUIRE(report.calls.size() == 4);
#if defined(__x86_64__)
  const FailedCall rseq = Find(report, "rseq");
  CHECK(rseq == FailedCall{.name = "rseq",
                           .error_number = ENOSYS,
                           .count = 1,
                           .support = Support::kPartial,
                           .reported = true,
                           .never_worked = true});
  // Its number is all that runsc knows.
  CHECK(Find(report, "landlock_create_ruleset").error_number == ENOSYS);
  CHECK(Find(report, "name_to_handle_at").error_number == EOPNOTSUPP);
  CHECK(Find(report, "name_to_handle_at").support == Support::kNone);
  CHECK_FALSE(Find(report, "quotactl").reported);
#endif
}

TEST_CASE("a call without a name keeps its number") {
  SyscallLog log;
  log.Feed(
      "I1125 14:54:45.285664 1 strace.go:614] [   1:   1] p X sys_9999(0x0) = 0 (0x0) "
      "errno=38 (invalid system call number) (29.826us)\n");
  CHECK(MakeReport(log, {}).calls ==
        std::vector<FailedCall>{
            {.name = "syscall_9999", .error_number = ENOSYS, .count = 1, .never_worked = true}});
}

TEST_CASE("a complaint about a call that did not fail is no failure") {
  SyscallLog log;
  log.Feed(
      "I1125 14:54:45.1 1 compat.go:123] Unsupported syscall ioctl(0x1,0x2).\n"
      "I1125 14:54:45.2 1 strace.go:608] [ 1: 1] p X ioctl(0x1, 0x2) = 0 (0x0) (1us)\n"
      "I1125 14:54:45.3 1 strace.go:608] [ 1: 1] p X ioctl(0x1, 0x3) = 0 (0x0) errno=25 "
      "(inappropriate ioctl for device) (1us)\n");
  REQUIRE(log.failures().size() == 1);
  CHECK(log.failures().at({"ioctl", ENOTTY}).count == 1);
  CHECK_FALSE(log.failures().at({"ioctl", ENOTTY}).reported);
  CHECK_FALSE(MakeReport(log, {}).calls.at(0).never_worked);
}

TEST_CASE("what a program writes into its own log neither hides a call nor breaks the reading") {
  const std::string line = GENERATE(
      as<std::string>{},
      // An argument that looks like the end of the line.
      "I1125 14:54:45.1 1 strace.go:608] [ 1: 1] p X openat(AT_FDCWD, 0x1 /x) = 0 (0x0) errno=0 ( "
      "errno=99 , 0x0) = 0 (0x0) errno=2 (no such file or directory) (1us)",
      // A process whose name looks like a call.
      "I1125 14:54:45.1 1 strace.go:608] [ 1: 1] X x( X openat(AT_FDCWD) = 0 (0x0) errno=2 (x) "
      "(1us)");
  SyscallLog log;
  log.Feed(line + "\n");
  for (const auto& [key, failure] : log.failures()) CHECK(key.second == ENOENT);

  const std::string hostile = GENERATE(
      as<std::string>{}, "", "\n\n\n", std::string(1, '\0'), "strace.go: X ", " strace.go:1] X (",
      " strace.go:1] X Evil(0) errno=1 ",
      " strace.go:1] X a(0) errno=", " strace.go:1] X a(0) errno=999999999999999999999 (",
      " strace.go:1] X a(0) errno=-1 (", " strace.go:1] X a;b(0) errno=1 (",
      " compat.go:1] Unsupported syscall (", " compat.go:1] Unsupported syscall \xff(",
      std::string(1 << 20, 'x'), " strace.go:1] X " + std::string(100, 'a') + "(0) errno=1 (");
  SyscallLog other;
  other.Feed(hostile);
  other.Feed(
      "\nI1125 14:54:45.1 1 strace.go:608] [ 1: 1] p X kcmp(0x0) = 0 (0x0) errno=1 (x) (1us)\n");
  REQUIRE(other.failures().size() == 1);
  CHECK(other.failures().count({"kcmp", EPERM}) == 1);
}

TEST_CASE("a log with more kinds of failures than there are is cut, not remembered") {
  SyscallLog log;
  for (int i = 0; i < 5000; ++i) {
    log.Feed(
        StrCat("I1 1 strace.go:608] [ 1: 1] p X call_", i, "(0x0) = 0 (0x0) errno=38 (x) (1us)\n"));
  }
  CHECK(log.cut());
  CHECK(log.failures().size() == 2000);
  CHECK(MakeReport(log, {}).cut);
}

TEST_CASE("the runtime's table is read, and one that is odd is refused") {
  const auto table = ParseSupportTable(
      R"({"linux":{"amd64":{"syscalls":{"0":{"name":"read","support":"Full Support","note":""},
          "101":{"name":"ptrace","support":"Partial Support","note":""},
          "321":{"name":"bpf","support":"Unimplemented","note":""}}}}})",
      "amd64");
  REQUIRE(table.ok());
  CHECK(*table ==
        SupportTable{{0, Support::kFull}, {101, Support::kPartial}, {321, Support::kNone}});
  for (const char* odd :
       {"", "[]", "{}", R"({"linux":{"amd64":{"syscalls":[]}}})",
        R"({"linux":{"amd64":{"syscalls":{"read":{"support":"Full Support"}}}}})",
        R"({"linux":{"amd64":{"syscalls":{"0":{"support":7}}}}})",
        R"({"linux":{"amd64":{"syscalls":{"0":[]}}}})", R"({"linux":{"arm64":{"syscalls":{}}}})"}) {
    CAPTURE(odd);
    CHECK(ParseSupportTable(odd, "amd64").status().code() == StatusCode::kDataLoss);
  }
}

}  // namespace
}  // namespace claw::drivers
