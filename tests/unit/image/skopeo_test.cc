#include "drivers/image/skopeo.h"

#include <catch2/catch.hpp>

#include "drivers/image/errors.h"

namespace claw::image {
namespace {

struct Case {
  const char* text;
  bool from_registry;
  StatusCode code;
  const char* reason;
};

TEST_CASE("skopeo's complaints get a code and a reason") {
  const std::vector<Case> table = {
      {"reading manifest v2 in h/bb: manifest unknown: manifest unknown", true,
       StatusCode::kNotFound, "IMAGE_NOT_FOUND"},
      {"name unknown: repository name not known to registry", true, StatusCode::kNotFound,
       "IMAGE_NOT_FOUND"},
      {"unauthorized: authentication required", true, StatusCode::kPermissionDenied,
       "REGISTRY_DENIED"},
      {"requested access to the resource is denied", true, StatusCode::kPermissionDenied,
       "REGISTRY_DENIED"},
      {"dial tcp 127.0.0.1:5124: connect: connection refused", true, StatusCode::kUnavailable,
       "REGISTRY_UNREACHABLE"},
      {"dial tcp: lookup nosuch.invalid: no such host", true, StatusCode::kUnavailable,
       "REGISTRY_UNREACHABLE"},
      {"net/http: TLS handshake timeout", true, StatusCode::kUnavailable, "REGISTRY_UNREACHABLE"},
      {"received unexpected HTTP status: 503 Service Unavailable", true, StatusCode::kUnavailable,
       "REGISTRY_UNREACHABLE"},
      {"write /x: no space left on device", true, StatusCode::kResourceExhausted, "DISK_FULL"},
      {"write /x: no space left on device", false, StatusCode::kResourceExhausted, "DISK_FULL"},
      {"write /x: file too large", true, StatusCode::kResourceExhausted, "IMAGE_TOO_LARGE"},
      {"Digest did not match, expected sha256:a, got sha256:b", true, StatusCode::kInvalidArgument,
       "CORRUPT_IMAGE"},
      {"no image found in manifest list for architecture amd64", false,
       StatusCode::kInvalidArgument, "UNSUPPORTED_ARCHITECTURE"},
      {"open layout/blobs/sha256/0: no such file or directory", false, StatusCode::kInvalidArgument,
       "CORRUPT_IMAGE"},
      {"no descriptor found for reference \"nope\"", false, StatusCode::kNotFound,
       "IMAGE_NOT_FOUND"},
      {"unexpected EOF", false, StatusCode::kInvalidArgument, "CORRUPT_IMAGE"},
      {"something new", true, StatusCode::kInternal, "INTERNAL"},
  };
  for (const Case& c : table) {
    CAPTURE(c.text);
    const Status status = ClassifySkopeoError(c.text, {}, "amd64", c.from_registry);
    CHECK(status.code() == c.code);
    CHECK(GetErrorDetail(status)->reason == c.reason);
  }
}

TEST_CASE("an unreachable registry is worth another try") {
  const Status status = ClassifySkopeoError("connection refused", {}, "amd64", true);
  CHECK(GetErrorDetail(status)->retry_after.has_value());
}

TEST_CASE("the name of a repository does not decide what the error is") {
  const Status status =
      ClassifySkopeoError("reading manifest v1 in h.io/denied/unauthorized: manifest unknown",
                          {"h.io/denied/unauthorized"}, "amd64", true);
  CHECK(status.code() == StatusCode::kNotFound);
}

TEST_CASE("messages hold printable text only") {
  const Status status = ClassifySkopeoError("bad\x1b[31m\xff name", {}, "amd64", true);
  CHECK(status.message() == "bad?[31m? name");
}

TEST_CASE("a missing program is told with its package") {
  const Status missing = MakeError(StatusCode::kNotFound, "no program",
                                   {.reason = "PROGRAM_MISSING", .constraint = "umoci"});
  const Status status = ExplainMissingProgram(missing, "umoci", "umoci");
  CHECK(status.code() == StatusCode::kFailedPrecondition);
  CHECK(GetErrorDetail(status)->reason == "PROGRAM_MISSING");
  CHECK(GetErrorDetail(status)->needed == "Debian package umoci");
  CHECK(ExplainMissingProgram(Internal("x"), "umoci", "umoci").code() == StatusCode::kInternal);
}

}  // namespace
}  // namespace claw::image
