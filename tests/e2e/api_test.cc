#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>
#include <grpcpp/grpcpp.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <set>
#include <vector>

#include "agent/base/strings.h"
#include "tests/e2e/agent.h"
#include "tests/e2e/health.grpc.pb.h"
#include "tests/e2e/reflection.grpc.pb.h"

namespace claw::test {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using grpc::reflection::v1alpha::ServerReflection;
using grpc::reflection::v1alpha::ServerReflectionRequest;
using grpc::reflection::v1alpha::ServerReflectionResponse;

auto Soon() { return std::chrono::system_clock::now() + std::chrono::seconds(60); }

std::shared_ptr<grpc::Channel> Connect(const Agent& agent) {
  const std::string socket = (agent.dir() / "run/clawlet.sock").string();
  return grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials());
}

TEST_CASE("the health service answers, and says beforehand that the agent is going", "[e2e]") {
  Agent agent;
  const auto health = Health::NewStub(Connect(agent));
  HealthCheckRequest request;
  {
    grpc::ClientContext context;
    context.set_deadline(Soon());
    HealthCheckResponse response;
    const grpc::Status status = health->Check(&context, request, &response);
    INFO(status.error_message());
    REQUIRE(status.ok());
    CHECK(response.status() == HealthCheckResponse::SERVING);
  }
  {
    grpc::ClientContext context;
    context.set_deadline(Soon());
    HealthCheckResponse response;
    request.set_service("no.such.Service");
    CHECK(health->Check(&context, request, &response).error_code() == grpc::StatusCode::NOT_FOUND);
    request.clear_service();
  }
  grpc::ClientContext context;
  context.set_deadline(Soon());
  HealthCheckResponse response;
  const auto watch = health->Watch(&context, request);
  REQUIRE(watch->Read(&response));
  CHECK(response.status() == HealthCheckResponse::SERVING);
  agent.BeginStop();
  REQUIRE(watch->Read(&response));
  CHECK(response.status() == HealthCheckResponse::NOT_SERVING);
  CHECK_FALSE(watch->Read(&response));
  agent.StopGracefully();
}

// The API as a client that knows nothing of it learns it.
class Reflection {
 public:
  explicit Reflection(const Agent& agent) : stub_(ServerReflection::NewStub(Connect(agent))) {
    context_.set_deadline(Soon());
    stream_ = stub_->ServerReflectionInfo(&context_);
  }
  ~Reflection() {
    stream_->WritesDone();
    const grpc::Status status = stream_->Finish();
    INFO(status.error_message());
    CHECK(status.ok());
  }

  ServerReflectionResponse Ask(const ServerReflectionRequest& request) {
    ServerReflectionResponse response;
    REQUIRE(stream_->Write(request));
    REQUIRE(stream_->Read(&response));
    return response;
  }

  std::set<std::string> Services() {
    ServerReflectionRequest request;
    request.set_list_services("*");
    std::set<std::string> names;
    const ServerReflectionResponse response = Ask(request);
    for (const auto& service : response.list_services_response().service()) {
      names.insert(service.name());
    }
    return names;
  }

  // Fetches the file that defines the symbol, and all that it imports.
  void Learn(const std::string& symbol) {
    ServerReflectionRequest request;
    request.set_file_containing_symbol(symbol);
    std::vector<std::string> wanted = Add(Ask(request));
    while (!wanted.empty()) {
      request.set_file_by_filename(wanted.back());
      wanted.pop_back();
      const std::vector<std::string> more = Add(Ask(request));
      wanted.insert(wanted.end(), more.begin(), more.end());
    }
  }

  const google::protobuf::DescriptorPool& pool() const { return pool_; }

 private:
  // What the new files among them import. There are old ones: an answer of gRPC 1.51 on a stream
  // repeats the answers before it.
  std::vector<std::string> Add(const ServerReflectionResponse& response) {
    INFO(response.error_response().error_message());
    REQUIRE(response.file_descriptor_response().file_descriptor_proto_size() > 0);
    std::vector<std::string> imports;
    for (const std::string& bytes : response.file_descriptor_response().file_descriptor_proto()) {
      google::protobuf::FileDescriptorProto file;
      REQUIRE(file.ParseFromString(bytes));
      if (!names_.insert(file.name()).second) continue;
      REQUIRE(files_.Add(file));
      imports.insert(imports.end(), file.dependency().begin(), file.dependency().end());
    }
    std::erase_if(imports, [this](const std::string& name) { return names_.count(name) != 0; });
    return imports;
  }

  std::unique_ptr<ServerReflection::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<ServerReflectionRequest, ServerReflectionResponse>>
      stream_;
  std::set<std::string> names_;
  google::protobuf::SimpleDescriptorDatabase files_;
  google::protobuf::DescriptorPool pool_{&files_};
};

TEST_CASE("the agent describes its API to a client that does not know it", "[e2e]") {
  Agent agent;
  Reflection reflection(agent);
  const std::set<std::string> services = reflection.Services();
  for (const char* name : {"Node", "Tenant", "Sandbox", "Image", "Compat", "Event"}) {
    INFO(name);
    const std::string service = StrCat("claw.node.v1.", name, "Service");
    CHECK(services.count(service) == 1);
    reflection.Learn(service);
    const auto* described = reflection.pool().FindServiceByName(service);
    REQUIRE(described != nullptr);
    CHECK(described->method_count() > 0);
  }
  const auto* create =
      reflection.pool().FindMethodByName("claw.node.v1.SandboxService.CreateSandbox");
  REQUIRE(create != nullptr);
  CHECK(create->output_type()->full_name() == "claw.node.v1.Sandbox");
  CHECK(create->input_type()->FindFieldByName("request_id") != nullptr);

  ServerReflectionRequest request;
  request.set_file_containing_symbol("claw.node.v1.NoSuchService");
  CHECK(reflection.Ask(request).error_response().error_code() == grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace claw::test
