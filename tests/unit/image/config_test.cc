#include "drivers/image/config.h"

#include <catch2/catch.hpp>

namespace claw::image {
namespace {

std::string ReasonOf(const Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

TEST_CASE("a config is read with all that clawlet goes by") {
  const std::string diff = "sha256:" + std::string(64, '0');
  const auto config = ParseConfig(R"({"architecture":"amd64","os":"linux","config":{
      "Entrypoint":["/init","-x"],"Cmd":["run"],"Env":["A=1","B=x=y","C="],
      "WorkingDir":"/srv//app/./x","User":"app:staff","Unknown":{"a":[1]}},
      "rootfs":{"type":"layers","diff_ids":[")" +
                                  diff + R"("]}})");
  REQUIRE(config.ok());
  CHECK(config->architecture == "amd64");
  CHECK(config->entrypoint == std::vector<std::string>{"/init", "-x"});
  CHECK(config->command == std::vector<std::string>{"run"});
  CHECK(config->env == std::vector<std::string>{"A=1", "B=x=y", "C="});
  CHECK(config->working_directory == "/srv/app/x");
  CHECK(config->user == "app:staff");
  CHECK(config->diff_ids == std::vector<std::string>{diff});
}

TEST_CASE("absent and null parts of a config take their defaults") {
  for (const char* text :
       {R"({"architecture":"arm64","os":"linux"})",
        R"({"architecture":"arm64","os":"linux","config":null,"rootfs":null})",
        R"({"architecture":"arm64","os":"linux","config":{"Entrypoint":null,"Cmd":null,"Env":null,
            "WorkingDir":"","User":null}})"}) {
    const auto config = ParseConfig(text);
    REQUIRE(config.ok());
    CHECK(config->entrypoint.empty());
    CHECK(config->command.empty());
    CHECK(config->working_directory == "/");
    CHECK(config->user.empty());
  }
}

TEST_CASE("a working directory does not lead above the root") {
  const auto config = ParseConfig(
      R"({"architecture":"arm64","os":"linux","config":{"WorkingDir":"../../../etc"}})");
  REQUIRE(config.ok());
  CHECK(config->working_directory == "/etc");
}

TEST_CASE("hostile configs are CORRUPT_IMAGE, never an exception") {
  const std::string head = R"({"architecture":"amd64","os":"linux",)";
  const std::vector<std::string> table = {
      "",
      "null",
      "[]",
      "42",
      "{",
      "{}",
      "\xff\xfe",
      R"({"architecture":5,"os":"linux"})",
      R"({"architecture":"amd64"})",
      R"({"architecture":"amd64","os":["linux"]})",
      head + R"("config":[]})",
      head + R"("config":"x"})",
      head + R"("config":{"Cmd":"sh"}})",
      head + R"("config":{"Cmd":[1]}})",
      head + R"("config":{"Cmd":[["sh"]]}})",
      head + R"("config":{"Entrypoint":{"a":"b"}}})",
      head + R"("config":{"Env":["NOEQUALS"]}})",
      head + R"("config":{"Env":["=x"]}})",
      head + R"("config":{"Env":["A=\u0000"]}})",
      head + R"("config":{"User":0}})",
      head + R"("config":{"WorkingDir":["/"]}})",
      head + R"("config":{"Cmd":["a\u0000b"]}})",
      head + R"("config":{"Cmd":["bad )" + "\xc3\x28" + R"("]}})",
      head + R"("rootfs":{"diff_ids":"x"}})",
      head + R"("rootfs":{"diff_ids":["sha256:../../x"]}})",
      head + "\"config\":" + std::string(200000, '['),
      std::string(5 << 20, ' '),
  };
  for (const std::string& text : table) {
    CAPTURE(text.substr(0, 200));
    const auto config = ParseConfig(text);
    REQUIRE_FALSE(config.ok());
    CHECK(config.status().code() == StatusCode::kInvalidArgument);
    CHECK(ReasonOf(config.status()) == "CORRUPT_IMAGE");
  }
}

TEST_CASE("an image for another platform is refused with both named") {
  ImageConfig config{.architecture = "s390x", .os = "linux"};
  const Status status = CheckPlatform(config, "amd64");
  CHECK(ReasonOf(status) == "UNSUPPORTED_ARCHITECTURE");
  CHECK(GetErrorDetail(status)->needed == "linux/s390x");
  CHECK(GetErrorDetail(status)->available == "linux/amd64");
  config = {.architecture = "amd64", .os = "windows"};
  CHECK_FALSE(CheckPlatform(config, "amd64").ok());
  config.os = "linux";
  CHECK(CheckPlatform(config, "amd64").ok());
}

}  // namespace
}  // namespace claw::image
