#include <catch2/catch.hpp>
#include <set>

#include "tests/unit/clawctl/fixture.h"

namespace claw::ctl::testing {
namespace {

using Catch::Matchers::Contains;

pb::ErrorDetail Detail(const std::string& reason) {
  pb::ErrorDetail detail;
  detail.set_reason(reason);
  return detail;
}

Refusal Busy(int retry_millis) {
  Refusal refusal{.code = 14, .message = "the queue is full", .detail = Detail("QUEUE_FULL")};
  refusal.detail->mutable_retry_after()->set_nanos(retry_millis * 1'000'000);
  return refusal;
}

TEST_CASE("what was UNAVAILABLE is sent again with the same request id", "[clawctl]") {
  Fixture node;
  node.state().refusals = {Busy(1), Busy(1)};
  const auto result = node.Ctl({"node", "tenant", "add", "acme"});
  CHECK(result.code == 0);
  const auto& ids = node.state().request_ids;
  REQUIRE(ids.size() == 3);
  CHECK_FALSE(ids[0].empty());
  CHECK(std::set<std::string>(ids.begin(), ids.end()).size() == 1);
  const auto notices = Lines(result.err);
  REQUIRE(notices.size() == 2);
  CHECK(notices[0] == "clawctl: the queue is full; trying again in 1 ms (1 of 5)");
  CHECK(node.Ctl({"node", "tenant", "add", "other"}).code == 0);
  CHECK(node.state().request_ids.back() != ids[0]);
}

TEST_CASE("a transfer that breaks off is started again with the same request id", "[clawctl]") {
  Fixture node;
  pb::ImageProgress done;
  *done.mutable_image() = MakeImage("abcdef0123456789", {});
  node.state().progress = {done};
  node.state().refusals = {Busy(1)};
  CHECK(node.Ctl({"node", "image", "pull", "reg/x:1"}).code == 0);
  REQUIRE(node.state().request_ids.size() == 2);
  CHECK(node.state().request_ids[0] == node.state().request_ids[1]);
}

TEST_CASE("an agent that stays busy is asked only so often", "[clawctl]") {
  Fixture node;
  for (int i = 0; i < 20; ++i) node.state().refusals.push_back(Busy(1));
  CHECK(node.Ctl({"node", "tenant", "add", "acme"}).code == 4);
  CHECK(node.state().request_ids.size() == 6);
}

TEST_CASE("a retry does not outlive the deadline", "[clawctl]") {
  Fixture node;
  node.state().refusals = {Busy(900), Busy(900)};
  CHECK(node.Ctl({"node", "tenant", "add", "acme", "--timeout", "500ms"}).code == 4);
  CHECK(node.state().request_ids.size() == 1);
}

TEST_CASE("a refusal shows what was needed and what to do", "[clawctl]") {
  Fixture node;
  Refusal refusal{
      .code = 8, .message = "no room for\033[2J it", .detail = Detail("MEMORY_EXHAUSTED")};
  refusal.detail->set_constraint("resources.workload_bytes");
  refusal.detail->set_needed("536870912 bytes");
  refusal.detail->set_available("1024 bytes");
  refusal.detail->mutable_retry_after()->set_seconds(5);
  node.state().refusals = {refusal};
  const auto result = node.Ctl({"node", "tenant", "add", "acme"});
  CHECK(result.code == 6);
  const auto lines = Lines(result.err);
  REQUIRE(lines.size() == 7);
  CHECK(lines[0] == "clawctl: no room for\\x1b[2J it");
  CHECK(lines[1] == "  reason:     MEMORY_EXHAUSTED");
  CHECK(lines[2] == "  constraint: resources.workload_bytes");
  CHECK(lines[3] == "  needed:     536870912 bytes");
  CHECK(lines[4] == "  available:  1024 bytes");
  CHECK(lines[5] == "  retry:      after 5000 ms");
  CHECK_THAT(lines[6], Contains("hint:") && Contains("clawctl node status"));
}

TEST_CASE("each kind of refusal has its exit code and its hint", "[clawctl]") {
  struct Case {
    int grpc_code;
    const char* reason;
    const char* message;
    int exit_code;
    const char* hint;
  };
  const auto row = GENERATE(values<Case>({
      {5, "TENANT_NOT_FOUND", "there is no such one", 3, "clawctl node tenant add"},
      {5, "NOT_FOUND", "there is no tenant x", 3, "clawctl node tenant add"},
      {5, "IMAGE_NOT_FOUND", "there is no such one", 3, "clawctl node image pull"},
      {9, "RUNTIME_MISSING", "runsc is not there", 1, "clawctl node status"},
      {3, "INVALID_ARGUMENT", "bad name", 1, ""},
      {4, "", "too late", 5, "--timeout"},
      {7, "", "not you", 7, "root"},
      {13, "INTERNAL", "broken", 1, ""},
  }));
  CAPTURE(row.message);
  Fixture node;
  node.state().refusals = {
      {.code = row.grpc_code, .message = row.message, .detail = Detail(row.reason)}};
  const auto result = node.Ctl({"node", "tenant", "add", "acme"});
  CHECK(result.code == row.exit_code);
  CHECK_THAT(result.err, Contains(row.message) && Contains(row.hint));
}

TEST_CASE("an agent that is not there is reported at once", "[clawctl]") {
  Fixture node;
  node.StopAgent();
  const auto result = node.Ctl({"node", "tenant", "add", "acme"});
  CHECK(result.code == 4);
  const auto lines = Lines(result.err);
  REQUIRE(lines.size() == 3);
  CHECK_THAT(lines[0], Contains("cannot reach the agent at " + node.socket()));
  CHECK_THAT(lines[2], Contains("systemctl start clawlet") && Contains("--socket"));
}

TEST_CASE("verbose names the calls", "[clawctl]") {
  Fixture node;
  CHECK_THAT(node.Ctl({"-v", "node", "status"}).err, Contains("clawctl: GetNode: OK after"));
}

}  // namespace
}  // namespace claw::ctl::testing
