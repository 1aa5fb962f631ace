#include "tests/bench/density_node.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "claw/node/v1/compat.grpc.pb.h"
#include "claw/node/v1/image.grpc.pb.h"
#include "claw/node/v1/sandbox.grpc.pb.h"
#include "claw/node/v1/tenant.grpc.pb.h"
#include "tests/support/busybox_root.h"
#include "tests/support/program_root.h"

namespace claw::bench {
namespace {

namespace fs = std::filesystem;
namespace pb = claw::node::v1;

// What an interpreter holds by itself is part of the promise; what it says of that is no use, since
// gVisor and Linux count files that are mapped differently. So a share is left for it, as it was
// measured: 5 MiB for Python, 8 MiB for Node.
constexpr char kPython[] = R"(
import os, sys, time
promised = int(sys.argv[1]) >> 20
held = [b'x' * (1 << 20) for _ in range(60)]
while not os.path.exists('/control/go'):
    time.sleep(0.2)
while len(held) < promised - 5:
    held.append(bytes(bytearray(os.urandom(1)) * (1 << 20)))
time.sleep(100000)
)";
constexpr char kNode[] = R"(
const fs = require('fs');
const promised = Number(process.argv[2]) / (1 << 20);
const held = [];
const timer = setInterval(() => {
  if (!fs.existsSync('/control/go')) return;
  clearInterval(timer);
  while (held.length < promised - 8) held.push(Buffer.alloc(1 << 20, 1));
  setInterval(() => {}, 1000000);
}, 200);
)";
// tail keeps the last bytes of what it reads, until the writer ends.
constexpr char kShell[] =
    "while [ ! -e /control/go ]; do sleep 1; done; "
    "(head -c 12582912 /dev/zero; sleep 100000) | tail -c 12582912";

void Fail(const std::string& what, const std::string& why) {
  std::fprintf(stderr, "benchmark: %s: %s\n", what.c_str(), why.c_str());
  std::exit(1);
}

void Check(const grpc::Status& status, const std::string& what) {
  if (!status.ok()) Fail(what, status.error_message());
}

}  // namespace

struct DensityNode::Stubs {
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

DensityNode::DensityNode(const fs::path& dir, int64_t budget_bytes) : dir_(dir) {
  const std::string config = StrCat("[node]\nmemory = ", budget_bytes,
                                    "\n[reserves]\nsystem = 0\nagent = 0\neviction = 0\n"
                                    "[budget]\nmeasure_seconds = 1\nwindow_seconds = 1\n");
  agent_ = std::make_unique<AgentProcess>(CLAW_BIN, dir_ / "agent", config);
  stubs_ = std::make_unique<Stubs>(agent_->channel());
  for (const auto& [name, trust] :
       {std::pair("house", pb::TRUST_TRUSTED), std::pair("guest", pb::TRUST_UNTRUSTED)}) {
    grpc::ClientContext context;
    pb::CreateTenantRequest request;
    pb::Tenant tenant;
    request.set_tenant_id(name);
    request.set_trust(trust);
    Check(stubs_->tenants->CreateTenant(&context, request, &tenant), "CreateTenant");
  }
  fs::create_directories(dir_ / "control");
  fs::permissions(dir_ / "control", fs::perms(0755));
  const fs::path python = dir_ / "python";
  test::AddPrograms(python, {"/usr/bin/python3.11"}, {"/usr/lib/python3.11"});
  const fs::path node = dir_ / "node";
  test::AddPrograms(node, {"/usr/bin/node"});
  test::MakeBusyboxRoot(dir_ / "shell");
  for (const auto& [file, text] :
       {std::pair(python / "main.py", kPython), std::pair(node / "main.js", kNode)}) {
    const Status written = WriteFileAtomic(file, text, 0644);
    if (!written.ok()) Fail("write a program", ToLogString(written));
  }
  for (const char* image : {"python", "node", "shell"}) Import(image, dir_ / image);
}

DensityNode::~DensityNode() = default;

void DensityNode::Import(const std::string& name, const fs::path& root) {
  for (const char* folder : {"proc", "sys", "dev", "tmp", "control"}) {
    fs::create_directories(root / folder);
  }
  grpc::ClientContext context;
  pb::ImportImageRequest request;
  request.set_source("rootfs:" + root.string());
  request.set_reference(name);
  const auto reader = stubs_->images->ImportImage(&context, request);
  std::string digest;
  for (pb::ImageProgress progress; reader->Read(&progress);) {
    if (progress.has_image()) digest = progress.image().name();
  }
  Check(reader->Finish(), "ImportImage");
  grpc::ClientContext override_context;
  pb::CreateOverrideRequest override_request;
  override_request.set_image(digest);
  override_request.set_isolation_class(pb::ISOLATION_CLASS_GVISOR);
  override_request.set_reason("a benchmark of memory");
  override_request.mutable_ttl()->set_seconds(24 * 3600);
  pb::Override given;
  Check(stubs_->compat->CreateOverride(&override_context, override_request, &given),
        "CreateOverride");
}

void DensityNode::Trigger(bool on) {
  const fs::path file = dir_ / "control/go";
  std::error_code ignored;
  if (on) {
    WriteFileAtomic(file, "go", 0644).IgnoreError();
  } else {
    fs::remove(file, ignored);
  }
}

StatusOr<std::string> DensityNode::Create(const Workload& workload) {
  pb::CreateSandboxRequest request;
  pb::SandboxSpec& spec = *request.mutable_spec();
  spec.set_tenant("tenants/" + workload.tenant);
  spec.set_image(workload.image);
  spec.set_workload_bytes(workload.workload_bytes);
  const std::string promised = StrCat(workload.workload_bytes);
  std::vector<std::string> command = {"/bin/sh", "-c", kShell};
  if (workload.image == "python") command = {"/usr/bin/python3.11", "/main.py", promised};
  if (workload.image == "node") command = {"/usr/bin/node", "/main.js", promised};
  for (const std::string& word : command) spec.add_command(word);
  pb::Mount& control = *spec.add_mounts();
  control.set_source(dir_ / "control");
  control.set_destination("/control");
  pb::Sandbox sandbox;
  grpc::ClientContext context;
  const grpc::Status status = stubs_->sandboxes->CreateSandbox(&context, request, &sandbox);
  if (status.ok()) return sandbox.name();
  if (status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) Check(status, "CreateSandbox");
  return MakeError(StatusCode::kResourceExhausted, status.error_message());
}

void DensityNode::Delete(const std::string& name) {
  grpc::ClientContext context;
  pb::DeleteSandboxRequest request;
  google::protobuf::Empty empty;
  request.set_name(name);
  request.set_force(true);
  Check(stubs_->sandboxes->DeleteSandbox(&context, request, &empty), "DeleteSandbox");
}

std::map<std::string, int64_t> DensityNode::UsedBytes() {
  grpc::ClientContext context;
  pb::ListSandboxStatsResponse response;
  Check(stubs_->sandboxes->ListSandboxStats(&context, {}, &response), "ListSandboxStats");
  std::map<std::string, int64_t> used;
  for (const pb::SandboxStats& stats : response.stats()) {
    used[stats.name()] =
        stats.application_bytes() + stats.overhead_bytes() + stats.supervisor_bytes();
  }
  return used;
}

bool DensityNode::WasKilled(const std::string& name) {
  grpc::ClientContext context;
  pb::GetSandboxRequest request;
  request.set_name(name);
  pb::Sandbox sandbox;
  Check(stubs_->sandboxes->GetSandbox(&context, request, &sandbox), "GetSandbox");
  if (sandbox.state() == pb::SANDBOX_STATE_RUNNING) return false;
  const pb::EndReason reason = sandbox.exit().reason();
  if (reason != pb::END_REASON_OOM_KILLED && reason != pb::END_REASON_EVICTED) {
    Fail(name, StrCat("ended with exit code ", sandbox.exit().exit_code()));
  }
  return true;
}

}  // namespace claw::bench
