#include <catch2/catch.hpp>

#include "agent/base/utf8.h"
#include "agent/rpc/convert.h"
#include "agent/rpc/names.h"
#include "agent/rpc/page.h"
#include "agent/rpc/program_input.h"
#include "agent/rpc/status.h"
#include "claw/node/v1/common.pb.h"

namespace claw::rpc {
namespace {

pb::ErrorDetail DetailOf(const grpc::Status& status) {
  pb::RpcStatus details;
  REQUIRE(details.ParseFromString(status.error_details()));
  CHECK(details.code() == status.error_code());
  CHECK(details.message() == status.error_message());
  REQUIRE(details.details_size() == 1);
  CHECK(details.details(0).type_url() == "type.googleapis.com/claw.node.v1.ErrorDetail");
  pb::ErrorDetail detail;
  REQUIRE(details.details(0).UnpackTo(&detail));
  return detail;
}

std::string ConstraintOf(const Status& status) {
  CHECK(status.code() == StatusCode::kInvalidArgument);
  return GetErrorDetail(status).value_or(ErrorDetail{}).constraint;
}

TEST_CASE("status: code, message and detail go over") {
  const Status status = MakeError(StatusCode::kResourceExhausted, "no room",
                                  {.reason = "MEMORY_EXHAUSTED",
                                   .constraint = "resources.workload_bytes",
                                   .needed = "2 bytes",
                                   .available = "1 byte",
                                   .retry_after = std::chrono::milliseconds(1500)});
  const grpc::Status mapped = ToGrpc(status);
  CHECK(mapped.error_code() == grpc::RESOURCE_EXHAUSTED);
  CHECK(mapped.error_message() == "no room");
  const pb::ErrorDetail detail = DetailOf(mapped);
  CHECK(detail.reason() == "MEMORY_EXHAUSTED");
  CHECK(detail.constraint() == "resources.workload_bytes");
  CHECK(detail.needed() == "2 bytes");
  CHECK(detail.available() == "1 byte");
  CHECK(detail.retry_after().seconds() == 1);
  CHECK(detail.retry_after().nanos() == 500'000'000);
}

TEST_CASE("status: every code keeps its meaning") {
  CHECK(ToGrpc(absl::OkStatus()).ok());
  for (int code = 1; code <= 16; ++code) {
    CHECK(ToGrpc(MakeError(static_cast<StatusCode>(code), "x")).error_code() == code);
  }
  CHECK(ToGrpc(MakeError(StatusCode::kInternal, "x")).error_details().empty());
  CHECK(!DetailOf(ToGrpc(NotFound("x"))).has_retry_after());
}

TEST_CASE("status: long and broken messages fit a trailer") {
  std::string text;
  while (text.size() < 100'000) text += "ä€";
  const grpc::Status mapped =
      ToGrpc(MakeError(StatusCode::kInternal, text, {.reason = "X", .needed = text}));
  CHECK(mapped.error_message().size() <= 1024);
  CHECK(IsUtf8(mapped.error_message()));
  CHECK(mapped.error_message().size() * 3 + mapped.error_details().size() * 4 / 3 < 8192);
  CHECK(ToGrpc(MakeError(StatusCode::kInternal, "a\xFF z")).error_message() == "a? z");
}

TEST_CASE("names: sandboxes") {
  CHECK(*ParseSandboxName("name", "sandboxes/0123456789abcdef") == "0123456789abcdef");
  CHECK(*ParseSandboxName("name", "sandboxes/my-box") == "my-box");
  for (const char* bad : {"", "sandboxes", "sandboxes/", "my-box", "tenants/a", "sandboxes/A",
                          "sandboxes/a/b", "sandboxes/..", "sandboxes/a b", "Sandboxes/a"}) {
    INFO(bad);
    CHECK(ConstraintOf(ParseSandboxName("name", bad).status()) == "name");
  }
  CHECK(!ParseSandboxName("name", "sandboxes/" + std::string(64, 'a')).ok());
}

TEST_CASE("names: tenants and images") {
  CHECK(*ParseTenantName("spec.tenant", "tenants/acme") == "acme");
  CHECK(ConstraintOf(ParseTenantName("spec.tenant", "acme").status()) == "spec.tenant");
  CHECK(!ParseTenantName("name", "tenants/1a").ok());
  CHECK(ParseTenantFilter("tenant", "")->empty());
  CHECK(!ParseTenantFilter("tenant", "tenants/").ok());
  CHECK(*ParseImageName("name", "images/docker.io/library/a:1") == "docker.io/library/a:1");
  CHECK(!ParseImageName("name", "images/").ok());
  CHECK(!ParseImageName("name", "images/a\nb").ok());
}

TEST_CASE("names: platforms") {
  const auto parse = [](const std::vector<std::string>& platforms) {
    google::protobuf::RepeatedPtrField<std::string> field(platforms.begin(), platforms.end());
    return ParsePlatforms("platforms", field);
  };
  CHECK(parse({})->empty());
  CHECK(*parse({"linux/arm64", "amd64"}) == std::vector<std::string>{"arm64", "amd64"});
  CHECK(*parse({"arm64", "linux/arm64"}) == std::vector<std::string>{"arm64"});
  for (const char* bad : {"", "linux", "linux/", "arm", "linux/arm64/v8", "windows/amd64", "ARM64",
                          "linux/linux/arm64", "s390x", "arm64\n"}) {
    INFO(bad);
    CHECK(ConstraintOf(parse({"amd64", bad}).status()) == "platforms");
  }
}

TEST_CASE("names: request ids, page sizes") {
  CHECK(CheckRequestId("").ok());
  CHECK(CheckRequestId(std::string(128, '~')).ok());
  CHECK(ConstraintOf(CheckRequestId(std::string(129, 'a'))) == "request_id");
  CHECK(!CheckRequestId("a\n").ok());
  CHECK(!CheckRequestId("\xC3\xA4").ok());
  CHECK(*ParsePageSize(0) == 100);
  CHECK(*ParsePageSize(1) == 1);
  CHECK(*ParsePageSize(1'000'000) == 1000);
  CHECK(!ParsePageSize(-1).ok());
}

TEST_CASE("names: durations") {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  const auto parse = [](int64_t seconds, int32_t nanos) {
    google::protobuf::Duration duration;
    duration.set_seconds(seconds);
    duration.set_nanos(nanos);
    return ParseDuration("grace_period", duration, hours(1));
  };
  CHECK(*parse(0, 0) == milliseconds(0));
  CHECK(*parse(1, 500'000'000) == milliseconds(1500));
  CHECK(*parse(3600, 0) == hours(1));
  CHECK(!parse(3600, 1'000'000).ok());
  CHECK(!parse(-1, 0).ok());
  CHECK(!parse(0, -1).ok());
  CHECK(!parse(0, 1'000'000'000).ok());
  CHECK(!parse(INT64_MAX, 0).ok());
  CHECK(!parse(INT64_MIN, 0).ok());
}

TEST_CASE("names: times") {
  google::protobuf::Timestamp time;
  SetTime(FromMicros(1'500'001), &time);
  CHECK(time.seconds() == 1);
  CHECK(time.nanos() == 500'001'000);
  CHECK(*ParseTime("since_time", time) == FromMicros(1'500'001));
  SetTime(FromMicros(-1), &time);
  CHECK(time.seconds() == -1);
  CHECK(*ParseTime("since_time", time) == FromMicros(-1));
  time.set_seconds(INT64_MAX);
  CHECK(!ParseTime("since_time", time).ok());
}

TEST_CASE("pages: they neither skip nor repeat") {
  std::vector<std::string> entries;
  for (int i = 0; i < 25; ++i) entries.push_back(NumberKey(i));
  const auto key_of = [](const std::string& entry) { return entry; };
  std::vector<std::string> seen;
  std::string token;
  int pages = 0;
  do {
    const auto page = CutPage("list", entries, key_of, 10, token);
    REQUIRE(page.ok());
    for (const std::string* entry : page->entries) seen.push_back(*entry);
    token = page->next_token;
    ++pages;
  } while (!token.empty());
  CHECK(pages == 3);
  CHECK(seen == entries);
  const auto whole = CutPage("list", entries, key_of, 25, "");
  CHECK(whole->next_token.empty());
}

TEST_CASE("pages: an entry that goes takes no other with it") {
  const auto key_of = [](const std::string& entry) { return entry; };
  std::vector<std::string> entries = {"a", "b", "c", "d"};
  const std::string token = CutPage("list", entries, key_of, 2, "")->next_token;
  entries.erase(entries.begin() + 1);
  const auto page = CutPage("list", entries, key_of, 2, token);
  REQUIRE(page->entries.size() == 2);
  CHECK(*page->entries[0] == "c");
}

TEST_CASE("pages: foreign tokens are refused") {
  const std::string token = MakePageToken("tenants", "acme");
  CHECK(*ParsePageToken("tenants", token) == "acme");
  CHECK(ConstraintOf(ParsePageToken("images", token).status()) == "page_token");
  for (const std::string& bad : {token + "A", token.substr(1), std::string("!!"),
                                 std::string("AAAA"), std::string(5000, 'A')}) {
    CHECK(!ParsePageToken("tenants", bad).ok());
  }
  std::string changed = token;
  changed.back() = changed.back() == 'A' ? 'B' : 'A';
  CHECK(!ParsePageToken("tenants", changed).ok());
}

TEST_CASE("convert: a spec takes its defaults and is validated") {
  pb::SandboxSpec proto;
  proto.set_tenant("tenants/acme");
  proto.set_image("busybox");
  pb::Mount* mount = proto.add_mounts();
  mount->set_source("/a");
  mount->set_destination("/b");
  const auto spec = FromProto(proto);
  REQUIRE(spec.ok());
  CHECK(spec->workload_bytes == kDefaultWorkloadBytes);
  CHECK(spec->pids_max == kDefaultPidsMax);
  CHECK(spec->mounts[0].read_only);

  proto.set_workload_bytes(-1);
  CHECK(ConstraintOf(FromProto(proto).status()) == "workload_bytes");
  proto.set_workload_bytes(INT64_MAX);
  CHECK(ConstraintOf(FromProto(proto).status()) == "workload_bytes");
  proto.set_workload_bytes(0);
  proto.set_pids_max(-5);
  CHECK(ConstraintOf(FromProto(proto).status()) == "pids_max");
  proto.set_pids_max(0);
  proto.set_tenant("acme");
  CHECK(ConstraintOf(FromProto(proto).status()) == "spec.tenant");
  CHECK(!FromProto(static_cast<pb::Trust>(77)).ok());
  CHECK(*FromProto(pb::TRUST_UNSPECIFIED) == Trust::kUntrusted);
}

TEST_CASE("convert: a sandbox shows its process only while it has one") {
  Sandbox sandbox;
  sandbox.id = "0123456789abcdef";
  sandbox.spec.tenant = "acme";
  sandbox.process.pid = 42;
  sandbox.state = SandboxState::kRunning;
  sandbox.created_at = FromMicros(5);
  const pb::Sandbox running = ToProto(sandbox);
  CHECK(running.name() == "sandboxes/0123456789abcdef");
  CHECK(running.spec().tenant() == "tenants/acme");
  CHECK(running.pid() == 42);
  CHECK(!running.has_start_time());
  CHECK(!running.has_exit());
  sandbox.state = SandboxState::kExited;
  sandbox.exit = ExitInfo{.exit_code = 3, .reason = EndReason::kOomKilled};
  const pb::Sandbox ended = ToProto(sandbox);
  CHECK(ended.pid() == 0);
  CHECK(ended.exit().exit_code() == 3);
  CHECK(ended.exit().reason() == pb::END_REASON_OOM_KILLED);
}

TEST_CASE("convert: what exec refuses") {
  pb::ExecSpec spec;
  CHECK(ConstraintOf(FromProto(spec).status()) == "spec.command");
  spec.add_command("ls");
  CHECK(FromProto(spec).ok());
  spec.set_working_directory("tmp");
  CHECK(ConstraintOf(FromProto(spec).status()) == "spec.working_directory");
  spec.set_working_directory("/tmp");
  spec.add_env("A");
  CHECK(ConstraintOf(FromProto(spec).status()) == "spec.env");
  spec.set_env(0, "A=b");
  spec.add_command(std::string("a\0b", 3));
  CHECK(ConstraintOf(FromProto(spec).status()) == "spec.command");
  pb::TerminalSize size;
  CHECK(ConstraintOf(CheckTerminalSize(size)) == "resize");
  size.set_rows(24);
  size.set_columns(65536);
  CHECK(!CheckTerminalSize(size).ok());
  size.set_columns(80);
  CHECK(CheckTerminalSize(size).ok());
}

}  // namespace
}  // namespace claw::rpc
