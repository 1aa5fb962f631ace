#include "tests/bench/agent_client.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "claw/node/v1/compat.grpc.pb.h"
#include "claw/node/v1/image.grpc.pb.h"
#include "claw/node/v1/sandbox.grpc.pb.h"
#include "claw/node/v1/tenant.grpc.pb.h"

namespace claw::bench {
namespace pb = claw::node::v1;

namespace {

void Check(const grpc::Status& status, const std::string& what) {
  if (status.ok()) return;
  std::fprintf(stderr, "benchmark: %s: %s\n", what.c_str(), status.error_message().c_str());
  std::exit(1);
}

}  // namespace

struct AgentClient::Stubs {
  explicit Stubs(const std::shared_ptr<grpc::Channel>& channel)
      : tenants(pb::TenantService::NewStub(channel)),
        images(pb::ImageService::NewStub(channel)),
        sandboxes(pb::SandboxService::NewStub(channel)),
        compat(pb::CompatService::NewStub(channel)) {}
  std::unique_ptr<pb::TenantService::Stub> tenants;
  std::unique_ptr<pb::ImageService::Stub> images;
  std::unique_ptr<pb::SandboxService::Stub> sandboxes;
  std::unique_ptr<pb::CompatService::Stub> compat;
};

AgentClient::AgentClient(const std::filesystem::path& bin, const std::filesystem::path& dir,
                         const std::filesystem::path& root)
    : agent_(bin, dir), stubs_(std::make_unique<Stubs>(agent_.channel())) {
  for (const auto& [name, trust] :
       {std::pair("runc", pb::TRUST_TRUSTED), std::pair("runsc", pb::TRUST_UNTRUSTED)}) {
    grpc::ClientContext context;
    pb::CreateTenantRequest request;
    pb::Tenant tenant;
    request.set_tenant_id(name);
    request.set_trust(trust);
    Check(stubs_->tenants->CreateTenant(&context, request, &tenant), "CreateTenant");
  }
  grpc::ClientContext context;
  pb::ImportImageRequest request;
  request.set_source("rootfs:" + root.string());
  request.set_reference("bench");
  const auto reader = stubs_->images->ImportImage(&context, request);
  pb::ImageProgress progress;
  while (reader->Read(&progress)) {
  }
  Check(reader->Finish(), "ImportImage");
  // The gate: what is not trusted runs once it was tested.
  grpc::ClientContext test_context;
  pb::TestImageRequest test;
  test.set_image("images/bench");
  test.add_probes()->add_command("/bin/true");
  test.set_workload_bytes(32 << 20);
  const auto tested = stubs_->compat->TestImage(&test_context, test);
  pb::TestImageProgress step;
  while (tested->Read(&step)) {
  }
  Check(tested->Finish(), "TestImage");
}

AgentClient::~AgentClient() = default;

std::string AgentClient::Create(const std::string& kind, const std::string& program,
                                const std::string& arg) {
  grpc::ClientContext context;
  pb::CreateSandboxRequest request;
  pb::Sandbox sandbox;
  request.mutable_spec()->set_tenant("tenants/" + kind);
  request.mutable_spec()->set_image("bench");
  request.mutable_spec()->add_command(program);
  if (!arg.empty()) request.mutable_spec()->add_args(arg);
  request.mutable_spec()->set_workload_bytes(32 << 20);
  Check(stubs_->sandboxes->CreateSandbox(&context, request, &sandbox), "CreateSandbox");
  return sandbox.name();
}

std::string AgentClient::CreateSleeper(const std::string& kind) {
  return Create(kind, "/bin/sleep", "1000");
}

void AgentClient::Delete(const std::string& name) {
  grpc::ClientContext context;
  pb::DeleteSandboxRequest request;
  google::protobuf::Empty empty;
  request.set_name(name);
  request.set_force(true);
  Check(stubs_->sandboxes->DeleteSandbox(&context, request, &empty), "DeleteSandbox");
}

void AgentClient::RunToExit(const std::string& kind) {
  const std::string name = Create(kind, "/bin/true", "");
  grpc::ClientContext context;
  pb::WaitSandboxRequest request;
  pb::Sandbox sandbox;
  request.set_name(name);
  Check(stubs_->sandboxes->WaitSandbox(&context, request, &sandbox), "WaitSandbox");
  Delete(name);
}

MemoryUse MemoryOf(pid_t pid) {
  MemoryUse use;
  const std::string text = ReadFile(StrCat("/proc/", pid, "/smaps_rollup")).value_or("");
  for (std::string_view line : Split(text, '\n', true)) {
    const std::vector<std::string_view> words = Split(line, ' ', true);
    int64_t kib = 0;
    if (words.size() != 3 || !ParseInt(words[1], &kib)) continue;
    if (words[0] == "Pss:") use.pss_bytes = kib * 1024;
    if (words[0] == "Private_Dirty:") use.private_dirty_bytes = kib * 1024;
  }
  return use;
}

double CpuMillis(pid_t pid) {
  const std::string text = ReadFile(StrCat("/proc/", pid, "/stat")).value_or("");
  const size_t end = text.rfind(')');
  if (end == std::string::npos) return 0;
  const std::vector<std::string_view> fields = Split(Trim(text.substr(end + 1)), ' ');
  int64_t user = 0;
  int64_t system = 0;
  ParseInt(fields[11], &user);
  ParseInt(fields[12], &system);
  return static_cast<double>(user + system) * 1000.0 / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace claw::bench
