#include "tests/bench/network_node.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>

#include "agent/base/strings.h"
#include "claw/node/v1/compat.grpc.pb.h"
#include "claw/node/v1/image.grpc.pb.h"
#include "claw/node/v1/network.grpc.pb.h"
#include "claw/node/v1/sandbox.grpc.pb.h"
#include "claw/node/v1/tenant.grpc.pb.h"
#include "tests/bench/agent_process.h"
#include "tests/bench/network_scene.h"
#include "tests/support/busybox_root.h"
#include "tests/support/program_root.h"
#include "tests/support/temp_dir.h"

namespace claw::bench {
namespace {

namespace fs = std::filesystem;
namespace pb = claw::node::v1;
using std::chrono::steady_clock;

constexpr char kConfig[] =
    "[network]\nname = \"clawnode\"\nipv4 = \"10.223.0.0/20\"\nipv6 = \"fd23::/96\"\n"
    "dns_servers = \"10.9.1.2\"\n";

void Check(const grpc::Status& status, const std::string& what) {
  if (!status.ok()) Fail(what, status.error_message());
}

// The sample that so many of 100 are below.
double Percentile(std::vector<double> samples, size_t of_100) {
  std::sort(samples.begin(), samples.end());
  return samples[std::min(samples.size() - 1, samples.size() * of_100 / 100)];
}

class Node {
 public:
  Node() : agent_(CLAW_BIN, dir_.path() / "agent", kConfig), channel_(agent_.channel()) {
    pb::NamedNetworkPolicy& policy = *put_.mutable_policy();
    policy.set_name("networkPolicies/stream");
    for (const auto protocol : {pb::NETWORK_PROTOCOL_TCP, pb::NETWORK_PROTOCOL_UDP}) {
      pb::NetworkRule& rule = *policy.mutable_policy()->add_egress();
      rule.set_cidr(kOutside);
      rule.add_ports()->set_first(kOutsidePort);
      rule.set_protocol(protocol);
    }
    grpc::ClientContext context;
    Check(pb::NetworkService::NewStub(channel_)->PutNetworkPolicy(&context, put_, &policy_),
          "PutNetworkPolicy");
    for (const auto& [name, trust] :
         {std::pair("runc", pb::TRUST_TRUSTED), std::pair("runsc", pb::TRUST_UNTRUSTED)}) {
      grpc::ClientContext tenant_context;
      pb::CreateTenantRequest request;
      pb::Tenant tenant;
      request.set_tenant_id(name);
      request.set_trust(trust);
      request.set_network_policy("stream");
      Check(pb::TenantService::NewStub(channel_)->CreateTenant(&tenant_context, request, &tenant),
            "CreateTenant");
    }
    Import();
  }

  std::string Start(const std::string& kind, pb::NetworkMode mode) {
    grpc::ClientContext context;
    pb::CreateSandboxRequest request;
    pb::Sandbox sandbox;
    pb::SandboxSpec& spec = *request.mutable_spec();
    spec.set_tenant("tenants/" + kind);
    spec.set_image("bench");
    spec.add_command("/bin/sleep");
    spec.add_args("1000");
    spec.set_workload_bytes(32 << 20);
    spec.mutable_network()->set_mode(mode);
    Check(sandboxes_->CreateSandbox(&context, request, &sandbox), "CreateSandbox");
    return sandbox.name();
  }

  void Delete(const std::string& name) {
    grpc::ClientContext context;
    pb::DeleteSandboxRequest request;
    google::protobuf::Empty empty;
    request.set_name(name);
    request.set_force(true);
    Check(sandboxes_->DeleteSandbox(&context, request, &empty), "DeleteSandbox");
  }

  // What a program in a sandbox of its own prints.
  std::string Run(const std::string& kind, const std::vector<std::string>& command) const {
    std::vector<std::string> argv = {fs::path(CLAW_BIN) / "clawctl",
                                     "node",
                                     "--socket",
                                     agent_.socket(),
                                     "run",
                                     "--rm",
                                     "--tenant",
                                     kind,
                                     "--image",
                                     "bench",
                                     "--memory",
                                     "256Mi",
                                     "--network",
                                     "bridge",
                                     "--"};
    argv.insert(argv.end(), command.begin(), command.end());
    return MustRun(argv);
  }

 private:
  void Import() {
    const fs::path root = dir_.path() / "image";
    test::MakeBusyboxRoot(root);
    test::AddPrograms(root, {"/usr/bin/iperf3"});
    grpc::ClientContext context;
    pb::ImportImageRequest request;
    request.set_source("rootfs:" + root.string());
    request.set_reference("bench");
    const auto reader = pb::ImageService::NewStub(channel_)->ImportImage(&context, request);
    std::string digest;
    for (pb::ImageProgress progress; reader->Read(&progress);) {
      if (progress.has_image()) digest = progress.image().name();
    }
    Check(reader->Finish(), "ImportImage");
    grpc::ClientContext override_context;
    pb::CreateOverrideRequest override_request;
    override_request.set_image(digest);
    override_request.set_isolation_class(pb::ISOLATION_CLASS_GVISOR);
    override_request.set_reason("a benchmark of networks");
    override_request.mutable_ttl()->set_seconds(24 * 3600);
    pb::Override given;
    Check(pb::CompatService::NewStub(channel_)->CreateOverride(&override_context, override_request,
                                                               &given),
          "CreateOverride");
  }

  test::TempDir dir_;
  AgentProcess agent_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::SandboxService::Stub> sandboxes_ = pb::SandboxService::NewStub(channel_);
  pb::PutNetworkPolicyRequest put_;
  pb::NamedNetworkPolicy policy_;
};

const std::vector<std::string> kKinds = {"runc", "runsc"};

// Each contender once a round, in turn, so that a machine that changes its speed is fair to all.
std::vector<Row> MeasureStarts(Node& node, int rounds) {
  Progress("starts");
  const std::vector<std::pair<std::string, pb::NetworkMode>> modes = {
      {"--network none", pb::NETWORK_MODE_NONE}, {"--network bridge", pb::NETWORK_MODE_BRIDGE}};
  std::map<std::string, std::vector<double>> starts;
  std::map<std::string, std::vector<double>> ends;
  for (int round = -1; round < rounds; ++round) {
    for (const std::string& kind : kKinds) {
      for (const auto& [who, mode] : modes) {
        const auto begin = steady_clock::now();
        const std::string name = node.Start(kind, mode);
        const double started = MillisSince(begin);
        const auto middle = steady_clock::now();
        node.Delete(name);
        if (round < 0) continue;  // it warms up
        starts[kind + who].push_back(started);
        ends[kind + who].push_back(MillisSince(middle));
      }
    }
  }
  std::vector<Row> rows;
  for (const auto* all : {&starts, &ends}) {
    for (const std::string& kind : kKinds) {
      for (const auto& [who, mode] : modes) {
        rows.push_back({.group = StrCat(all == &starts ? "create to running, " : "delete, ", kind),
                        .who = who,
                        .unit = "ms",
                        .value = SpreadOf(all->at(kind + who))});
      }
    }
  }
  Compare(rows);
  size_t next = 0;
  for (const auto* all : {&starts, &ends}) {
    for (const std::string& kind : kKinds) {
      for (const auto& [who, mode] : modes) {
        const double p95 = Percentile(all->at(kind + who), 95);
        std::string& note = rows[next++].note;
        note = StrCat("p95 ", static_cast<int>(p95), " ms", note.empty() ? "" : "; ", note);
      }
    }
  }
  return rows;
}

}  // namespace

std::vector<Row> MeasureAgent(const NetworkSettings& settings) {
  Node node;
  std::vector<Row> rows = MeasureStarts(node, settings.rounds * 4);
  Progress("streams from sandboxes");
  const BareHost bare;
  std::map<std::string, std::vector<double>> streams;
  for (int round = 0; round < settings.rounds; ++round) {
    const auto command = StreamCommand(settings.seconds);
    streams["no rules, no runtime"].push_back(StreamGbits(bare.sandbox().Run(command)));
    for (const std::string& kind : kKinds) {
      streams[kind].push_back(StreamGbits(node.Run(kind, command)));
    }
  }
  std::vector<Row> stream_rows;
  for (auto& [who, samples] : streams) {
    stream_rows.push_back({.group = "TCP to an outside host, from real sandboxes",
                           .who = who,
                           .unit = "Gbit/s",
                           .value = SpreadOf(samples)});
  }
  Compare(stream_rows);
  rows.insert(rows.end(), stream_rows.begin(), stream_rows.end());
  return rows;
}

}  // namespace claw::bench
