#include "tests/unit/store/fixture.h"

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>

#include <future>
#include <stdexcept>

#include "agent/base/file.h"
#include "agent/base/id.h"

namespace claw::store::testing {

TempFolder::TempFolder()
    : path_(std::filesystem::temp_directory_path() / StrCat("claw-store-", RandomHex(12))) {
  std::filesystem::create_directory(path_);
}

TempFolder::~TempFolder() { (void)RemoveTree(path_); }

std::unique_ptr<Store> MustOpen(const std::filesystem::path& path) {
  auto store = Store::Open({.path = path});
  if (!store.ok()) throw std::runtime_error(ToLogString(store.status()));
  return *std::move(store);
}

Status WriteAndWait(Store& store, std::function<Status(Transaction&)> body) {
  std::promise<Status> answer;
  store.Write(std::move(body), [&answer](Status status) { answer.set_value(std::move(status)); });
  return answer.get_future().get();
}

Tenant MakeTenant(const std::string& name) {
  return {.name = name, .trust = Trust::kTrusted, .created_at = FromMicros(1764000000000001)};
}

Sandbox MakeSandbox(const std::string& id) {
  Sandbox sandbox;
  sandbox.id = id;
  sandbox.spec.tenant = "acme";
  sandbox.spec.display_name = "crawler";
  sandbox.spec.image = "docker.io/library/python:3.12";
  sandbox.spec.command = {"/bin/sh", "-c"};
  sandbox.spec.args = {"echo \"hi\\n\" 'there' \xc3\xa9"};
  sandbox.spec.env = {"A=1", "B=two words"};
  sandbox.spec.mounts = {{.source = "/srv/a", .destination = "/a", .read_only = false}};
  sandbox.spec.workload_bytes = 256 * kMiB;
  sandbox.spec.labels = {{"team", "search"}};
  sandbox.state = SandboxState::kExited;
  sandbox.revision = 42;
  sandbox.isolation = IsolationClass::kGvisor;
  sandbox.decision.reason = "the tenant is untrusted";
  sandbox.driver = "gvisor";
  sandbox.image_digest = "sha256:" + std::string(64, 'a');
  sandbox.resources = {.memory = {.workload_bytes = 256 * kMiB,
                                  .overhead_bytes = 40 * kMiB,
                                  .cgroup_max_bytes = 296 * kMiB},
                       .cpu_millis = 1500,
                       .pids_max = 100};
  sandbox.handle = {.driver = "gvisor", .version = 1, .data = R"({"root":"/run/x"})"};
  sandbox.process = {.pid = 4711, .start_ticks = 123456789, .boot_id = "b00t"};
  sandbox.exit = ExitInfo{.exit_code = 137,
                          .reason = EndReason::kOomKilled,
                          .memory_peak_bytes = 7,
                          .exited_at = FromMicros(1764000000000004)};
  sandbox.request_id = "r-1";
  sandbox.created_at = FromMicros(1764000000000002);
  sandbox.started_at = FromMicros(1764000000000003);
  return sandbox;
}

Image MakeImage(const std::string& digest) {
  Image image;
  image.digest = digest;
  image.names = {"python:3.12", "python:latest"};
  image.architecture = "arm64";
  image.size_bytes = 123456789;
  image.entrypoint = {"/usr/bin/python3"};
  image.env = {"PATH=/usr/bin"};
  image.uid = 1000;
  image.gid = 1001;
  image.created_at = FromMicros(1764000000000005);
  return image;
}

CompatVerdict MakeVerdict(const std::string& digest) {
  CompatVerdict verdict;
  verdict.image_digest = digest;
  verdict.runtime_version = "0.0~20221219";
  verdict.platform = "ptrace";
  verdict.architecture = "amd64";
  verdict.reference = "python:3.12";
  verdict.result = CompatResult::kDegraded;
  verdict.summary = "some calls fail";
  CompatProbeResult result;
  result.probe = {.name = "hello",
                  .command = {"python3", "-c", "print('h\xc3\xa9')"},
                  .env = {"A=1"},
                  .exit_code = 3,
                  .output = "h\xc3\xa9\n",
                  .timeout = std::chrono::milliseconds(1500)};
  result.gvisor = {.exit_code = 3,
                   .as_expected = true,
                   .output_tail = "h\xc3\xa9\n",
                   .wall_micros = 250'000,
                   .cpu_micros = 200'000,
                   .memory_peak_bytes = 30 * kMiB};
  result.baseline = CompatRun{.exit_code = 3, .timed_out = true, .oom_killed = true};
  verdict.probes = {result};
  verdict.findings = {{.name = "pidfd_open",
                       .kind = SyscallFinding::Kind::kRefused,
                       .error_number = 38,
                       .mattered = SyscallFinding::Mattered::kNo,
                       .probe = "hello"}};
  verdict.ignored_syscalls = {"clone3", "rseq"};
  verdict.tested_by = "unix:root(0)";
  verdict.tested_at = FromMicros(1764000000000007);
  verdict.accepted_by = "unix:ops(1000)";
  return verdict;
}

CompatOverride MakeOverride(const std::string& digest) {
  return {.image_digest = digest,
          .isolation = IsolationClass::kLegacyHardened,
          .reason = "the vendor is working on it",
          .given_by = "unix:root(0)",
          .created_at = FromMicros(1764000000000008),
          .expires_at = FromMicros(1764000600000008)};
}

NamedNetworkPolicy MakeNetworkPolicy(const std::string& name) {
  return {.name = name,
          .policy = {.egress = {ParseNetworkRule("api.example.com:443").value(),
                                ParseNetworkRule("[fd00::/8]:53,80-90/udp").value()},
                     .ingress = {ParseNetworkRule("tenant").value()},
                     .egress_bytes_per_second = 10 * kMiB,
                     .ingress_bytes_per_second = 20 * kMiB,
                     .connections_max = 100,
                     .dns = true},
          .created_at = FromMicros(1764000000000011),
          .updated_at = FromMicros(1764000000000012)};
}

Vm MakeVm(const std::string& name) {
  return {.spec = {.name = name, .cpus = 4, .memory_bytes = 2 * kGiB, .disk_bytes = 10 * kGiB},
          .uuid = "3b241101-e2bb-4255-8caf-4136c566a962",
          .state = VmState::kSuspended,
          .revision = 9,
          .overhead_bytes = 96 * kMiB,
          .image_digest = "sha256:1234",
          .port = 40123,
          .cordoned = true,
          .cordon_reason = "new image",
          .failure = "none",
          .boot_id = "b-1",
          .created_at = FromMicros(1764000000000013),
          .started_at = FromMicros(1764000000000014),
          .certificate_expires_at = FromMicros(1764000000000015)};
}

OverheadRecord MakeOverhead(const std::string& digest) {
  OverheadRecord record;
  record.sandboxes = {.image_digest = digest,
                      .image_family = "docker.io/library/python",
                      .driver = "gvisor",
                      .runtime_version = "release-1",
                      .platform = "systrap",
                      .architecture = "amd64",
                      .page_size_bytes = 4096};
  record.buckets = {{3, 1.0 / 3}, {200, 7.5}};
  record.weighed_at = FromMicros(1'764'000'000'000'001);
  record.recent = {.bytes = 14 * kMiB, .at = FromMicros(1'764'000'000'000'002)};
  record.samples = {{.bytes = 13 * kMiB, .at = FromMicros(1'764'000'000'000'003)}};
  record.windows = 9;
  record.first_at = FromMicros(1'764'000'000'000'004);
  record.last_at = FromMicros(1'764'000'000'000'005);
  return record;
}

RequestRecord MakeRequest(const std::string& id) {
  return {.request_id = id,
          .method = "CreateSandbox",
          .fingerprint = "f1f2",
          .subject = "sandboxes/0123456789abcdef",
          .code = 8,
          .message = "no memory left",
          .reason = "MEMORY_EXHAUSTED",
          .created_at = FromMicros(1764000000000006)};
}

Event MakeEvent(int64_t revision, const std::string& subject) {
  return {.revision = revision,
          .time = FromMicros(1764000000000000 + revision),
          .type = "sandbox.running",
          .subject = subject,
          .tenant = "acme",
          .message = StrCat("event number ", revision, " of the test")};
}

void RunSql(const std::filesystem::path& path, const std::string& sql) {
  SQLite::Database(path.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec(sql);
}

std::string QuerySql(const std::filesystem::path& path, const std::string& sql) {
  const SQLite::Database database(path.string(), SQLite::OPEN_READONLY);
  SQLite::Statement statement(database, sql);
  std::string answer;
  while (statement.executeStep()) {
    for (int i = 0; i < statement.getColumnCount(); ++i) {
      answer += (i > 0 ? "|" : "") + statement.getColumn(i).getString();
    }
    answer += "\n";
  }
  return answer;
}

int ReplaceInFile(const std::filesystem::path& path, std::string_view from, std::string_view to) {
  if (from.size() != to.size()) throw std::invalid_argument("the lengths differ");
  std::string content = ReadFile(path).value();
  int count = 0;
  for (size_t at = content.find(from); at != std::string::npos; at = content.find(from, at + 1)) {
    content.replace(at, to.size(), to);
    ++count;
  }
  if (const Status status = WriteFileAtomic(path, content); !status.ok()) {
    throw std::runtime_error(ToLogString(status));
  }
  return count;
}

std::string ReasonOf(const Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

}  // namespace claw::store::testing
