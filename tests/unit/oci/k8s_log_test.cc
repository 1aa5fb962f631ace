#include "drivers/oci/k8s_log.h"

#include <poll.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "agent/base/strings.h"
#include "tests/support/temp_dir.h"

namespace claw::drivers {
namespace {

namespace fs = std::filesystem;

constexpr char kStamp[] = "2026-11-24T02:12:21.333444555+00:00";

std::string Line(const std::string& stream, const std::string& tag, const std::string& text) {
  return StrCat(kStamp, " ", stream, " ", tag, " ", text, "\n");
}

struct LogFile {
  void Append(const std::string& text) const { std::ofstream(path, std::ios::app) << text; }
  std::unique_ptr<LogReader> Open(const std::string& hidden = "") const {
    auto reader = OpenK8sLog(path, hidden);
    REQUIRE(reader.ok());
    return std::move(*reader);
  }

  test::TempDir dir;
  fs::path path = dir.path() / "log";
};

std::string ReadText(LogReader& reader) {
  std::string text;
  const auto records = reader.Read();
  REQUIRE(records.ok());
  for (const LogRecord& record : *records) text += (record.is_stderr ? "!" : "") + record.data;
  return text;
}

bool HasChanged(const LogReader& reader) {
  pollfd entry{reader.change_fd(), POLLIN, 0};
  return ::poll(&entry, 1, 0) == 1;
}

TEST_CASE("a line is its time, its stream and its text") {
  const LogRecord out = ParseK8sLogLine(StrCat(kStamp, " stdout F hello  world "));
  CHECK(ToMicros(out.time) == 1'795'486'341'333'444);
  CHECK_FALSE(out.is_stderr);
  CHECK(out.data == "hello  world \n");
  CHECK(ParseK8sLogLine(StrCat(kStamp, " stderr F x")).is_stderr);
  CHECK(ParseK8sLogLine(StrCat(kStamp, " stdout P part")).data == "part");
  CHECK(ParseK8sLogLine(StrCat(kStamp, " stdout F ")).data == "\n");
}

TEST_CASE("a line of another form is given as it is") {
  for (const char* line : {"", "x", "conmon: <nwarn>: oops", "not-a-time stdout F x",
                           "2026-11-24T02:12:21Z stdout", "2026-11-24T02:12:21Z stdout F"}) {
    INFO(line);
    const LogRecord record = ParseK8sLogLine(line);
    CHECK(record.data == StrCat(line, "\n"));
    CHECK_FALSE(record.is_stderr);
    CHECK(record.time == Time{});
  }
}

TEST_CASE("what was written comes once, in order") {
  const LogFile log;
  log.Append(Line("stdout", "F", "one") + Line("stderr", "F", "two"));
  const auto reader = log.Open();
  CHECK(ReadText(*reader) == "one\n!two\n");
  CHECK(ReadText(*reader).empty());
  CHECK_FALSE(HasChanged(*reader));
  log.Append(Line("stdout", "F", "three"));
  CHECK(HasChanged(*reader));
  CHECK(ReadText(*reader) == "three\n");
  CHECK_FALSE(HasChanged(*reader));
}

TEST_CASE("parts of a long line are put together again") {
  const LogFile log;
  log.Append(Line("stdout", "P", "begin ") + Line("stdout", "P", "middle ") +
             Line("stdout", "F", "end"));
  CHECK(ReadText(*log.Open()) == "begin middle end\n");
}

TEST_CASE("a line that is only half written waits for its end") {
  const LogFile log;
  const std::string line = Line("stdout", "F", "whole");
  log.Append(line.substr(0, 20));
  const auto reader = log.Open();
  CHECK(ReadText(*reader).empty());
  log.Append(line.substr(20));
  CHECK(ReadText(*reader) == "whole\n");
}

TEST_CASE("clawlet's own record is left out, and only that") {
  const LogFile log;
  log.Append(Line("stdout", "F", "clawlet-proof N1 release=4.4.0") +
             Line("stdout", "F", "clawlet-proof N2 of the tenant's making") +
             Line("stdout", "F", "say clawlet-proof N1"));
  CHECK(ReadText(*log.Open("clawlet-proof N1")) ==
        "clawlet-proof N2 of the tenant's making\nsay clawlet-proof N1\n");
}

TEST_CASE("more than one read's worth comes in several reads") {
  const LogFile log;
  std::string expected;
  std::string content;
  for (int i = 0; i < 5000; ++i) {
    const std::string text = StrCat("line ", i, std::string(100, '.'));
    expected += text + "\n";
    content += Line("stdout", "F", text);
  }
  log.Append(content);
  const auto reader = log.Open();
  std::string got;
  int reads = 0;
  for (std::string more = ReadText(*reader); !more.empty(); more = ReadText(*reader)) {
    got += more;
    ++reads;
  }
  CHECK(got == expected);
  CHECK(reads > 1);
}

TEST_CASE("a log that was started anew is followed to its new file") {
  const LogFile log;
  log.Append(Line("stdout", "F", "old"));
  const auto reader = log.Open();
  CHECK(ReadText(*reader) == "old\n");
  const fs::path next = log.dir.path() / "next";
  std::ofstream(next) << Line("stdout", "F", "new");
  fs::rename(next, log.path);
  CHECK(HasChanged(*reader));
  std::string got;
  for (int i = 0; i < 2 && got.empty(); ++i) got = ReadText(*reader);
  CHECK(got == "new\n");
  log.Append(Line("stdout", "F", "more"));
  CHECK(HasChanged(*reader));
  CHECK(ReadText(*reader) == "more\n");
}

TEST_CASE("a log that is not there, or is a link to elsewhere, is not opened") {
  const LogFile log;
  CHECK(OpenK8sLog(log.path, "").status().code() == StatusCode::kNotFound);
  fs::create_symlink("/etc/passwd", log.path);
  CHECK_FALSE(OpenK8sLog(log.path, "").ok());
}

}  // namespace
}  // namespace claw::drivers
