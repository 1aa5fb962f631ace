#include "agent/base/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include "agent/base/file.h"
#include "tests/support/temp_dir.h"

namespace claw {
namespace {

using test::TempDir;

ProcessSpec Shell(const std::string& script) {
  ProcessSpec spec;
  spec.argv = {"sh", "-c", script};
  return spec;
}

TEST_CASE("a program's output and exit code come back") {
  const auto result = Run(Shell("echo out; echo err >&2; exit 7"));
  REQUIRE(result.ok());
  CHECK(result->out == "out\n");
  CHECK(result->err == "err\n");
  CHECK(result->exit_code == 7);
}

TEST_CASE("a program that a signal ended says which") {
  CHECK(Run(Shell("kill -TERM $$"))->exit_code == 128 + SIGTERM);
  CHECK(Run(Shell("kill -KILL $$"))->exit_code == 128 + SIGKILL);
}

TEST_CASE("a program that is not there is told from one that fails") {
  for (const char* name : {"no-such-program", "/no/such/program", "/etc/passwd"}) {
    INFO(name);
    ProcessSpec spec;
    spec.argv = {name};
    const Status status = Run(spec).status();
    CHECK(status.code() == StatusCode::kNotFound);
    CHECK(GetErrorDetail(status)->reason == "PROGRAM_MISSING");
  }
  CHECK_FALSE(Spawn({}).ok());
}

TEST_CASE("a file that the kernel cannot execute is an error, and leaves no child") {
  const TempDir dir;
  const auto program = dir.path() / "p";
  REQUIRE(WriteFileAtomic(program, "not a program", 0755).ok());
  ProcessSpec spec;
  spec.argv = {program};
  CHECK_FALSE(Spawn(spec).ok());
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
  CHECK(errno == ECHILD);
}

TEST_CASE("input reaches the program") {
  CHECK(Run(Shell("cat"), {.input = "hello"})->out == "hello");
  CHECK(Run(Shell("cat"))->out.empty());  // stdin is at its end at once
}

TEST_CASE("more input and output than a pipe holds pass in both directions") {
  const std::string much(3 << 20, 'x');
  const auto result = Run(Shell("cat"), {.max_output_bytes = 4 << 20, .input = much});
  REQUIRE(result.ok());
  CHECK(result->out == much);
}

TEST_CASE("a program that leaves its input alone is no error") {
  const auto result = Run(Shell("exec <&-; exit 3"), {.input = std::string(1 << 20, 'x')});
  REQUIRE(result.ok());
  CHECK(result->exit_code == 3);
}

TEST_CASE("output beyond the bound is dropped, and the program still ends") {
  const auto result =
      Run(Shell("head -c 1000000 /dev/zero; echo end >&2"), {.max_output_bytes = 1000});
  REQUIRE(result.ok());
  CHECK(result->out.size() == 1000);
  CHECK(result->err == "end\n");
}

TEST_CASE("a timeout kills the whole process group") {
  auto pipe = MakePipe();
  REQUIRE(pipe.ok());
  // Every process of the group holds the write end.
  ProcessSpec spec = Shell("sleep 1000 & sleep 1000 & wait");
  spec.descriptors = {{pipe->second.get(), 5}};
  const Status status = Run(spec, {.timeout = std::chrono::milliseconds(300)}).status();
  CHECK(status.code() == StatusCode::kDeadlineExceeded);
  CHECK(GetErrorDetail(status)->reason == "PROGRAM_TIMEOUT");
  pipe->second.reset();
  pollfd entry{pipe->first.get(), POLLIN, 0};
  CHECK(::poll(&entry, 1, 10'000) == 1);
  char byte = 0;
  CHECK(::read(pipe->first.get(), &byte, 1) == 0);
}

TEST_CASE("a daemon that keeps the output open does not hold Run up") {
  auto pipe = MakePipe();
  REQUIRE(pipe.ok());
  ProcessSpec spec = Shell("(cat <&5) & echo started");  // ends with the pipe
  spec.descriptors = {{pipe->first.get(), 5}};
  const auto result = Run(spec, {.timeout = std::chrono::seconds(20)});
  REQUIRE(result.ok());
  CHECK(result->out == "started\n");
}

TEST_CASE("nothing of the agent's leaks into the child") {
  SECTION("descriptors, close-on-exec or not") {
    const UniqueFd leaky(::open("/dev/null", O_RDONLY));  // NOLINT(android-cloexec-open)
    const UniqueFd closed(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    REQUIRE(leaky.valid());
    auto pipe = MakePipe();
    REQUIRE(pipe.ok());
    ProcessSpec spec = Shell("ls /proc/$$/fd");
    spec.descriptors = {{pipe->second.get(), 7}};
    CHECK(Run(spec)->out == "0\n1\n2\n7\n");
  }
  SECTION("environment") {
    ::setenv("CLAW_SECRET", "x", 1);
    CHECK(Run(Shell("echo -$CLAW_SECRET-"))->out == "--\n");
    ::unsetenv("CLAW_SECRET");
    ProcessSpec spec;
    spec.argv = {"env"};
    spec.env = {"A=1", "B=2"};
    CHECK(Run(spec)->out == "A=1\nB=2\n");
  }
  SECTION("blocked signals") {
    sigset_t term;
    sigset_t before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    REQUIRE(::pthread_sigmask(SIG_BLOCK, &term, &before) == 0);
    CHECK(Run(Shell("kill -TERM $$; echo survived"))->exit_code == 128 + SIGTERM);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
}

TEST_CASE("descriptors are placed even where they cross") {
  auto one = MakePipe();
  auto two = MakePipe();
  REQUIRE(one.ok());
  REQUIRE(two.ok());
  ProcessSpec spec = Shell("echo one >&" + std::to_string(two->second.get()) + "; echo two >&" +
                           std::to_string(one->second.get()));
  spec.descriptors = {{one->second.get(), two->second.get()},
                      {two->second.get(), one->second.get()}};
  REQUIRE(Run(spec)->exit_code == 0);
  char text[8] = {};
  REQUIRE(::read(one->first.get(), text, sizeof(text)) == 4);
  CHECK(std::string(text, 4) == "one\n");
  REQUIRE(::read(two->first.get(), text, sizeof(text)) == 4);
  CHECK(std::string(text, 4) == "two\n");
}

TEST_CASE("before_exec runs in the child, and its errno is the caller's error") {
  ProcessSpec spec = Shell("exit 0");
  const pid_t parent = ::getpid();
  spec.before_exec = [parent] { return ::getpid() == parent ? EINVAL : EACCES; };
  CHECK(Spawn(spec).status().code() == StatusCode::kPermissionDenied);
  spec.before_exec = [] { return ::setpgid(0, 0) == 0 ? 0 : errno; };
  CHECK(Run(Shell("exit 4"))->exit_code == 4);
  auto process = Spawn(spec);
  REQUIRE(process.ok());
  CHECK(process->Wait().value_or(-1) == 0);
}

TEST_CASE("the working folder is the child's") {
  const TempDir dir;
  ProcessSpec spec = Shell("pwd");
  spec.working_directory = dir.path();
  CHECK(Run(spec)->out == dir.path().string() + "\n");
  spec.working_directory = dir.path() / "no";
  CHECK_FALSE(Run(spec).ok());
}

TEST_CASE("a signal to a child that is gone is fine") {
  auto process = Spawn(Shell("read line"));
  REQUIRE(process.ok());
  CHECK(process->Wait().ok());
  CHECK(process->Signal(SIGTERM).ok());
  auto other = Spawn(Shell("exec sleep 1000"));
  REQUIRE(other.ok());
  CHECK(other->Signal(SIGKILL).ok());
  CHECK(other->Wait().value_or(-1) == 137);
}

TEST_CASE("RunOrError tells the last words of a program that failed") {
  CHECK(RunOrError(Shell("echo fine")).value_or("") == "fine\n");
  const Status status = RunOrError(Shell("echo why it broke >&2; exit 2")).status();
  CHECK(status.code() == StatusCode::kInternal);
  CHECK(GetErrorDetail(status)->reason == "PROGRAM_FAILED");
  CHECK(ToLogString(status).find("why it broke") != std::string::npos);
}

TEST_CASE("programs are found in PATH or by their path") {
  CHECK(FindProgram("sh").value_or("").ends_with("/sh"));
  CHECK(FindProgram("/bin/sh").value_or("") == "/bin/sh");
  CHECK_FALSE(FindProgram("no-such-program").ok());
}

}  // namespace
}  // namespace claw
