#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/support/byte_buffer.h>
#include <sys/stat.h>

#include "tests/unit/rpc/service_fixture.h"

namespace claw::test {
namespace {

// A call with bytes instead of a message.
grpc::Status CallRaw(ServiceFixture& fixture, const char* method, const std::string& request,
                     std::string* response = nullptr) {
  const grpc::Slice slice(request);
  const grpc::ByteBuffer in(&slice, 1);
  grpc::ByteBuffer out;
  Call call;
  const grpc::Status status = grpc::internal::BlockingUnaryCall<grpc::ByteBuffer, grpc::ByteBuffer,
                                                                grpc::ByteBuffer, grpc::ByteBuffer>(
      fixture.channel().get(),
      grpc::internal::RpcMethod(method, grpc::internal::RpcMethod::NORMAL_RPC), &call, in, &out);
  std::vector<grpc::Slice> slices;
  if (response != nullptr && status.ok() && out.Dump(&slices).ok()) {
    for (const grpc::Slice& part : slices) {
      response->append(reinterpret_cast<const char*>(part.begin()), part.size());
    }
  }
  return status;
}

TEST_CASE_METHOD(ServiceFixture, "service: the node") {
  pb::Node node;
  Call call;
  REQUIRE(nodes->GetNode(&call, {}, &node).ok());
  CHECK(node.node_id() == "node-under-test");
  CHECK(node.agent_version() == "9.9");
  CHECK(node.cgroup_mode() == "v2");
  CHECK(node.memory().capacity_bytes() == 8 * kGiB);
  CHECK(node.memory().available_bytes() == node.memory().allocatable_bytes());
  CHECK(node.drivers_size() == 3);
  CHECK(node.ready());
  CHECK(!node.incarnation_id().empty());
}

TEST_CASE_METHOD(ServiceFixture, "service: its socket is for the owner and the group") {
  struct stat info {};
  REQUIRE(::stat((dir().path() / "api.sock").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0660);
  CHECK(!rpc::Server::Start({.socket = dir().path() / "api.sock", .tls = {}}, context()).ok());
}

TEST_CASE_METHOD(ServiceFixture, "service: tenants page by name") {
  for (const char* name : {"b", "a", "c"}) {
    pb::CreateTenantRequest request;
    request.set_tenant_id(name);
    pb::Tenant tenant;
    Call call;
    REQUIRE(tenants->CreateTenant(&call, request, &tenant).ok());
    CHECK(tenant.name() == std::string("tenants/") + name);
    CHECK(tenant.trust() == pb::TRUST_UNTRUSTED);
  }
  pb::ListTenantsRequest request;
  request.set_page_size(2);
  pb::ListTenantsResponse first;
  Call one;
  REQUIRE(tenants->ListTenants(&one, request, &first).ok());
  REQUIRE(first.tenants_size() == 2);
  CHECK(first.tenants(1).name() == "tenants/b");
  request.set_page_token(first.next_page_token());
  pb::ListTenantsResponse second;
  Call two;
  REQUIRE(tenants->ListTenants(&two, request, &second).ok());
  REQUIRE(second.tenants_size() == 1);
  CHECK(second.next_page_token().empty());
  request.set_page_token("nonsense");
  Call three;
  const grpc::Status status = tenants->ListTenants(&three, request, &second);
  CHECK(status.error_code() == grpc::INVALID_ARGUMENT);
  CHECK(ReasonOf(status) == "BAD_FIELD");
}

TEST_CASE_METHOD(ServiceFixture, "service: errors carry their reason") {
  pb::GetTenantRequest request;
  request.set_name("tenants/nobody");
  pb::Tenant tenant;
  Call call;
  const grpc::Status status = tenants->GetTenant(&call, request, &tenant);
  CHECK(status.error_code() == grpc::NOT_FOUND);
  CHECK(ReasonOf(status) == "TENANT_NOT_FOUND");
}

TEST_CASE_METHOD(ServiceFixture, "service: requests that cannot be read are the caller's fault") {
  const std::string bad_utf8("\x0A\x02\xFF\xFE", 4);  // field 1, a string
  for (const std::string& request : {bad_utf8, std::string("\x0A\xFF")}) {
    const grpc::Status status = CallRaw(*this, "/claw.node.v1.TenantService/GetTenant", request);
    CHECK(status.error_code() == grpc::INVALID_ARGUMENT);
    CHECK(ReasonOf(status) == "MALFORMED_REQUEST");
  }
  CHECK(CallRaw(*this, "/claw.node.v1.TenantService/Frob", "").error_code() == grpc::UNIMPLEMENTED);
  const std::string large(5 << 20, 'x');
  CHECK(CallRaw(*this, "/claw.node.v1.TenantService/GetTenant", large).error_code() ==
        grpc::RESOURCE_EXHAUSTED);
}

TEST_CASE_METHOD(ServiceFixture, "service: health follows") {
  std::string response;
  REQUIRE(CallRaw(*this, "/grpc.health.v1.Health/Check", "", &response).ok());
  CHECK(response == std::string("\x08\x01"));  // SERVING
  server().SetServing(false);
  response.clear();
  REQUIRE(CallRaw(*this, "/grpc.health.v1.Health/Check", "", &response).ok());
  CHECK(response == std::string("\x08\x02"));  // NOT_SERVING
}

TEST_CASE_METHOD(ServiceFixture, "service: an image comes with its progress") {
  const std::vector<pb::ImageProgress> all = Import("app:1");
  REQUIRE(all.size() >= 2);
  CHECK(all.front().phase() == "fetching");
  CHECK(all.size() < 60);
  CHECK(all.back().phase() == "done");
  const pb::Image image = all.back().image();
  CHECK(image.references(0) == "docker.io/library/app:1");

  for (const std::string& name : {image.name(), std::string("images/app:1")}) {
    pb::GetImageRequest get;
    get.set_name(name);
    pb::Image found;
    Call get_call;
    REQUIRE(images->GetImage(&get_call, get, &found).ok());
    CHECK(found.name() == image.name());
  }
  pb::ListImagesResponse list;
  Call list_call;
  REQUIRE(images->ListImages(&list_call, {}, &list).ok());
  CHECK(list.images_size() == 1);
  pb::DeleteImageRequest remove;
  remove.set_name("images/app:1");
  google::protobuf::Empty empty;
  Call delete_call;
  CHECK(images->DeleteImage(&delete_call, remove, &empty).ok());
  pb::CollectGarbageRequest garbage;
  garbage.set_all(true);
  pb::CollectGarbageResponse collected;
  Call garbage_call;
  CHECK(images->CollectGarbage(&garbage_call, garbage, &collected).ok());
}

TEST_CASE_METHOD(ServiceFixture, "service: an image that is not there") {
  pb::PullImageRequest request;
  request.set_reference("missing");
  Call call;
  const auto stream = images->PullImage(&call, request);
  pb::ImageProgress progress;
  while (stream->Read(&progress)) {
  }
  CHECK(stream->Finish().error_code() == grpc::NOT_FOUND);
}

TEST_CASE_METHOD(ServiceFixture, "service: a sandbox from its start to its end") {
  Prepare();
  const pb::Sandbox sandbox = Create(Request("worker"));
  CHECK(sandbox.state() == pb::SANDBOX_STATE_RUNNING);
  CHECK(sandbox.isolation_class() == pb::ISOLATION_CLASS_GVISOR);
  CHECK(sandbox.pid() > 0);
  CHECK(sandbox.spec().workload_bytes() == kDefaultWorkloadBytes);

  pb::GetSandboxRequest get;
  get.set_name("sandboxes/worker");
  pb::Sandbox found;
  Call get_call;
  REQUIRE(sandboxes->GetSandbox(&get_call, get, &found).ok());
  CHECK(found.name() == sandbox.name());

  pb::ListSandboxesRequest list;
  list.set_tenant("tenants/acme");
  list.set_active_only(true);
  pb::ListSandboxesResponse listed;
  Call list_call;
  REQUIRE(sandboxes->ListSandboxes(&list_call, list, &listed).ok());
  CHECK(listed.sandboxes_size() == 1);
  CHECK(listed.revision() >= sandbox.revision());

  pb::ListSandboxStatsResponse stats;
  Call stats_call;
  REQUIRE(sandboxes->ListSandboxStats(&stats_call, {}, &stats).ok());
  REQUIRE(stats.stats_size() == 1);
  CHECK(stats.stats(0).name() == sandbox.name());

  pb::StopSandboxRequest stop;
  stop.set_name(sandbox.name());
  stop.mutable_grace_period()->set_seconds(5);
  pb::Sandbox stopped;
  Call stop_call;
  REQUIRE(sandboxes->StopSandbox(&stop_call, stop, &stopped).ok());
  CHECK(stopped.state() == pb::SANDBOX_STATE_EXITED);
  CHECK(stopped.exit().reason() == pb::END_REASON_STOPPED);
  stop.mutable_grace_period()->set_seconds(3601);
  Call bad_stop;
  CHECK(sandboxes->StopSandbox(&bad_stop, stop, &stopped).error_code() == grpc::INVALID_ARGUMENT);

  CHECK(Delete(sandbox.name()).ok());
  CHECK(Delete(sandbox.name()).error_code() == grpc::NOT_FOUND);
}

TEST_CASE_METHOD(ServiceFixture, "service: sandboxes page by their age") {
  Prepare();
  for (int i = 0; i < 5; ++i) Create(Request());
  std::vector<std::string> names;
  pb::ListSandboxesRequest request;
  request.set_page_size(2);
  do {
    pb::ListSandboxesResponse response;
    Call call;
    REQUIRE(sandboxes->ListSandboxes(&call, request, &response).ok());
    for (const pb::Sandbox& sandbox : response.sandboxes()) names.push_back(sandbox.name());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  CHECK(names.size() == 5);
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == 5);
}

TEST_CASE_METHOD(ServiceFixture, "service: who waits is told, and may leave") {
  Prepare();
  const pb::Sandbox sandbox = Create(Request());
  pb::WaitSandboxRequest request;
  request.set_name(sandbox.name());
  pb::Sandbox ended;
  Call leaves;
  auto left = std::async(std::launch::async, [&] {
    return sandboxes->WaitSandbox(&leaves, request, &ended).error_code();
  });
  leaves.Cancel();
  CHECK(left.get() == grpc::CANCELLED);

  Call stays;
  auto told = std::async(std::launch::async,
                         [&] { return sandboxes->WaitSandbox(&stays, request, &ended); });
  REQUIRE(world().Exit(IdOf(sandbox), 7).ok());
  REQUIRE(told.get().ok());
  CHECK(ended.exit().exit_code() == 7);
}

TEST_CASE_METHOD(ServiceFixture, "service: a start goes on when its caller leaves") {
  Prepare();
  const auto gate = world().Block(drivers::Step::kStart);
  Call call;
  pb::Sandbox sandbox;
  pb::CreateSandboxRequest request = Request("orphan");
  request.set_request_id("r-1");
  auto left = std::async(std::launch::async, [&] {
    return sandboxes->CreateSandbox(&call, request, &sandbox).error_code();
  });
  REQUIRE(gate->AwaitArrival());
  call.Cancel();
  CHECK(left.get() == grpc::CANCELLED);
  gate->Release();
  // The same request again finds what the first one made.
  const pb::Sandbox again = Create(request);
  CHECK(again.state() == pb::SANDBOX_STATE_RUNNING);
  CHECK(world().ids().size() == 1);
}

TEST_CASE_METHOD(ServiceFixture, "service: bad requests name their field") {
  Prepare();
  pb::Sandbox sandbox;
  const auto fails = [&](const pb::CreateSandboxRequest& request) {
    Call call;
    return sandboxes->CreateSandbox(&call, request, &sandbox).error_code() ==
           grpc::INVALID_ARGUMENT;
  };
  pb::CreateSandboxRequest request = Request();
  request.set_request_id(std::string(129, 'a'));
  CHECK(fails(request));
  request = Request();
  request.mutable_spec()->set_workload_bytes(-1);
  CHECK(fails(request));
  request = Request();
  request.mutable_spec()->set_tenant("acme");
  CHECK(fails(request));
  request = Request();
  request.mutable_spec()->set_cpu_millis(INT64_MAX);
  CHECK(fails(request));
  CHECK(fails({}));
  CHECK(world().ids().empty());
}

}  // namespace
}  // namespace claw::test
