#include "drivers/oci/refused_calls.h"

#include <catch2/catch.hpp>
#include <cerrno>

#include "drivers/oci/seccomp.h"

namespace claw::drivers {
namespace {

int CountRules(const nlohmann::json& profile, const std::string& name) {
  int count = 0;
  for (const auto& rule : profile["syscalls"]) {
    for (const auto& entry : rule["names"]) count += entry == name ? 1 : 0;
  }
  return count;
}

TEST_CASE("a refused call has one rule, before all others, and nothing else changes") {
  const nlohmann::json before = SeccompProfile("amd64", SeccompLevel::kContainer);
  REQUIRE(CountRules(before, "openat2") == 1);
  const nlohmann::json after = WithRefusedCalls(
      before,
      {{.name = "openat2", .error_number = ENOSYS}, {.name = "bpf", .error_number = EPERM}});
  CHECK(CountRules(after, "openat2") == 1);
  CHECK(CountRules(after, "bpf") == 1);
  CHECK(after["syscalls"][0]["names"] == nlohmann::json({"openat2"}));
  CHECK(after["syscalls"][0]["action"] == "SCMP_ACT_ERRNO");
  CHECK(after["syscalls"][0]["errnoRet"] == ENOSYS);
  CHECK(after["defaultAction"] == before["defaultAction"]);
  CHECK(CountRules(after, "read") == CountRules(before, "read"));
  CHECK(WithRefusedCalls(before, {}) == before);
}

TEST_CASE("a call that has several rules loses them all") {
  const nlohmann::json after = WithRefusedCalls(SeccompProfile("amd64", SeccompLevel::kContainer),
                                                {{.name = "personality", .error_number = EPERM}});
  CHECK(CountRules(after, "personality") == 1);
}

TEST_CASE("what the host's libseccomp does not know cannot be refused") {
  CHECK(CheckRefusable({{.name = "openat2", .error_number = ENOSYS}}, true).ok());
  CHECK(CheckRefusable({}, false).ok());
  CHECK(CheckRefusable({{.name = "openat2", .error_number = ENOSYS}}, false).code() ==
        StatusCode::kUnimplemented);
  CHECK(CheckRefusable({{.name = "syscall_9999", .error_number = ENOSYS}}, true).code() ==
        StatusCode::kUnimplemented);
  CHECK(CheckRefusable({{.name = "openat2", .error_number = 0}}, true).code() ==
        StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace claw::drivers
