#include "agent/model/compat.h"

#include <catch2/catch.hpp>

namespace claw {
namespace {

using Words = std::vector<std::string>;

TEST_CASE("an image's label says what to run, as JSON or as a line") {
  CHECK(*ParseProbeLabel(R"j(["python3","-c","print('a b')"])j") ==
        Words{"python3", "-c", "print('a b')"});
  CHECK(*ParseProbeLabel("node -e 'process.exit(0)'") == Words{"node", "-e", "process.exit(0)"});
  for (const char* label : {"", "  ", "[]", "[1]", "[\"a\"", "[[\"a\"]]", "echo 'a"}) {
    CAPTURE(label);
    const auto words = ParseProbeLabel(label);
    CHECK(words.status().code() == StatusCode::kInvalidArgument);
    CHECK(GetErrorDetail(words.status())->constraint == "io.clawlet.probe");
  }
}

}  // namespace
}  // namespace claw
