#include "agent/base/status.h"

#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>
#include <cerrno>

namespace claw {
namespace {

TEST_CASE("a typed detail comes back as it was put in") {
  const ErrorDetail full{.reason = "MEMORY_EXHAUSTED",
                         .constraint = "node.memory",
                         .needed = "2 bytes",
                         .available = "1 bytes",
                         .retry_after = std::chrono::milliseconds(1500)};
  CHECK(GetErrorDetail(MakeError(StatusCode::kResourceExhausted, "no room", full)) == full);
  for (const Outcome outcome : {Outcome::kUnknown, Outcome::kRefused, Outcome::kUndone}) {
    const Status status = MakeError(StatusCode::kResourceExhausted, "no room", full);
    const Status with = WithOutcome(status, outcome);
    CHECK(with.code() == status.code());
    CHECK(with.message() == status.message());
    ErrorDetail expected = full;
    expected.outcome = outcome;
    CHECK(GetErrorDetail(with) == expected);
  }
  CHECK(WithOutcome(absl::OkStatus(), Outcome::kRefused).ok());
  const ErrorDetail part{.reason = "X"};
  CHECK(GetErrorDetail(MakeError(StatusCode::kInternal, "no", part)) == part);
  CHECK_FALSE(GetErrorDetail(MakeError(StatusCode::kInternal, "no")));
  CHECK_FALSE(GetErrorDetail(absl::OkStatus()));
  rc::prop("any text that is ASCII", [] {
    const auto text = rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127));
    const ErrorDetail detail{
        .reason = *text, .constraint = *text, .needed = *text, .available = *text};
    RC_PRE(detail != ErrorDetail{});
    RC_ASSERT(GetErrorDetail(MakeError(StatusCode::kInternal, "m", detail)) == detail);
  });
}

TEST_CASE("bytes that are not text do not break an error") {
  const Status status = MakeError(StatusCode::kInternal, "\xFF\xFE", {.reason = "A\xFFZ"});
  REQUIRE(GetErrorDetail(status));
  CHECK(GetErrorDetail(status)->reason.starts_with("A"));
}

TEST_CASE("a detail that somebody else wrote wrongly is taken as far as it goes") {
  const Status ours = MakeError(StatusCode::kInternal, "m", {.reason = "R"});
  std::string url;
  ours.ForEachPayload([&](absl::string_view key, const absl::Cord&) { url = std::string(key); });
  for (const char* text : {"", "7", "[]", "{\"reason\":", "null"}) {
    INFO(text);
    Status status(StatusCode::kInternal, "m");
    status.SetPayload(url, absl::Cord(text));
    CHECK_FALSE(GetErrorDetail(status));
  }
  Status status(StatusCode::kInternal, "m");
  status.SetPayload(url, absl::Cord(R"({"reason":7,"needed":"n","retry_after_ms":"soon"})"));
  CHECK(GetErrorDetail(status) == ErrorDetail{.needed = "n"});
}

TEST_CASE("annotations put the outermost first and keep code and detail") {
  const Status inner = MakeError(StatusCode::kNotFound, "no such image", {.reason = "R"});
  const Status outer = Annotate(Annotate(inner, "pull"), "create sandbox");
  CHECK(ToLogString(outer) == "NOT_FOUND: create sandbox: pull: no such image");
  CHECK(GetErrorDetail(outer)->reason == "R");
  CHECK(Annotate(absl::OkStatus(), "x").ok());
  CHECK(ToLogString(absl::OkStatus()) == "OK");
}

TEST_CASE("errno becomes what the caller should do") {
  const std::pair<int, StatusCode> cases[] = {{ENOENT, StatusCode::kNotFound},
                                              {EEXIST, StatusCode::kAlreadyExists},
                                              {EACCES, StatusCode::kPermissionDenied},
                                              {EPERM, StatusCode::kPermissionDenied},
                                              {ENOSPC, StatusCode::kResourceExhausted},
                                              {EDQUOT, StatusCode::kResourceExhausted},
                                              {EMFILE, StatusCode::kResourceExhausted},
                                              {ENOMEM, StatusCode::kResourceExhausted},
                                              {EIO, StatusCode::kInternal}};
  for (const auto& [error, code] : cases) {
    INFO(error);
    CHECK(ErrnoError(error, "open x").code() == code);
    CHECK_FALSE(GetErrorDetail(ErrnoError(error, "open x"))->reason.empty());
  }
  CHECK(ToStd(ErrnoError(ENOENT, "open x").message()) == "open x: No such file or directory");
}

Status Fails(bool first) {
  RETURN_IF_ERROR(first ? Internal("first") : absl::OkStatus());
  ASSIGN_OR_RETURN(const int value, first ? StatusOr<int>(1) : StatusOr<int>(NotFound("second")));
  return Internal("reached with ", value);
}

TEST_CASE("the macros return the first error") {
  CHECK(ToStd(Fails(true).message()) == "first");
  CHECK(ToStd(Fails(false).message()) == "second");
}

TEST_CASE("only what a retry may help says when to try again") {
  CHECK(GetErrorDetail(Unavailable("busy"))->retry_after.has_value());
  CHECK_FALSE(GetErrorDetail(InvalidArgument("no"))->retry_after.has_value());
}

}  // namespace
}  // namespace claw
