#include <unistd.h>

#include "tests/unit/rpc/service_fixture.h"

namespace claw::test {
namespace {

class NetworkFixture : public ServiceFixture {
 public:
  static pb::NetworkPolicy To(const std::vector<std::string>& cidrs) {
    pb::NetworkPolicy policy;
    for (const std::string& cidr : cidrs) policy.add_egress()->set_cidr(cidr);
    return policy;
  }

  grpc::Status TryPut(const std::string& name, const pb::NetworkPolicy& policy,
                      pb::NamedNetworkPolicy* answer = nullptr, const std::string& request_id = "",
                      bool validate_only = false) {
    pb::PutNetworkPolicyRequest request;
    request.mutable_policy()->set_name("networkPolicies/" + name);
    *request.mutable_policy()->mutable_policy() = policy;
    request.set_request_id(request_id);
    request.set_validate_only(validate_only);
    pb::NamedNetworkPolicy unused;
    Call call;
    return network->PutNetworkPolicy(&call, request, answer != nullptr ? answer : &unused);
  }

  pb::NamedNetworkPolicy Put(const std::string& name, const pb::NetworkPolicy& policy) {
    pb::NamedNetworkPolicy named;
    const grpc::Status status = TryPut(name, policy, &named);
    INFO(status.error_message());
    REQUIRE(status.ok());
    return named;
  }

  grpc::Status TryGet(const std::string& name, pb::NamedNetworkPolicy* named) {
    pb::GetNetworkPolicyRequest request;
    request.set_name("networkPolicies/" + name);
    Call call;
    return network->GetNetworkPolicy(&call, request, named);
  }

  pb::NetworkPolicy PolicyOf(const std::string& name) {
    pb::NamedNetworkPolicy named;
    REQUIRE(TryGet(name, &named).ok());
    return named.policy();
  }

  grpc::Status Remove(const std::string& name, bool allow_missing = false,
                      const std::string& request_id = "") {
    pb::DeleteNetworkPolicyRequest request;
    request.set_name("networkPolicies/" + name);
    request.set_allow_missing(allow_missing);
    request.set_request_id(request_id);
    google::protobuf::Empty response;
    Call call;
    return network->DeleteNetworkPolicy(&call, request, &response);
  }

  grpc::Status GivePolicy(const std::string& policy, const std::string& label = "") {
    pb::UpdateTenantRequest request;
    request.mutable_tenant()->set_name("tenants/acme");
    request.mutable_tenant()->set_network_policy(policy);
    if (!label.empty()) {
      (*request.mutable_tenant()->mutable_labels())[label] = "1";
      request.mutable_update_mask()->add_paths("labels");
    } else {
      request.mutable_update_mask()->add_paths("network_policy");
    }
    pb::Tenant tenant;
    Call call;
    return tenants->UpdateTenant(&call, request, &tenant);
  }

  pb::Sandbox CreateConnected(const std::string& name) {
    pb::CreateSandboxRequest request = Request(name);
    request.mutable_spec()->mutable_network()->set_mode(pb::NETWORK_MODE_BRIDGE);
    return Create(request);
  }

  // Whom the sandbox's layers allow to be called, as the networks have them in force.
  std::vector<std::string> InForce(const pb::Sandbox& sandbox) {
    std::vector<std::string> rules;
    const auto attached = networks().attached();
    const auto it = attached.find(IdOf(sandbox));
    REQUIRE(it != attached.end());
    for (const auto& layer : it->second.layers) {
      std::string text = layer.name + ":";
      for (const NetworkRule& rule : layer.policy.egress) text += " " + ToString(rule);
      rules.push_back(text);
    }
    return rules;
  }

  std::vector<std::string> Types(const std::string& subject) {
    std::vector<std::string> types;
    for (const pb::Event& event : EventsOf(subject)) types.push_back(event.type());
    return types;
  }
};

using Texts = std::vector<std::string>;

TEST_CASE_METHOD(NetworkFixture, "network: a policy is made, replaced whole, shown and removed") {
  const pb::NamedNetworkPolicy made = Put("web", To({"10.0.0.0/8", "192.0.2.0/24"}));
  CHECK(made.name() == "networkPolicies/web");
  CHECK(made.has_create_time());
  pb::NetworkPolicy other = To({"192.0.2.0/24"});
  other.set_dns(true);
  const pb::NamedNetworkPolicy changed = Put("web", other);
  CHECK(changed.policy().egress_size() == 1);
  CHECK(changed.policy().dns());
  CHECK(changed.create_time().seconds() == made.create_time().seconds());
  Put("web", other);  // the same again tells nobody
  const auto told = EventsOf("networkPolicies/web");
  REQUIRE(told.size() == 2);
  CHECK(told[0].type() == "network_policy.set");
  CHECK(told[0].message().starts_with("new: "));
  CHECK(told[1].message() == "changed: to 10.0.0.0/8 is allowed no more, DNS is allowed");
  CHECK(told[1].actor().ends_with("(" + std::to_string(::geteuid()) + ")"));
  Restart();
  CHECK(PolicyOf("web").SerializeAsString() == changed.policy().SerializeAsString());
  CHECK(Remove("web").ok());
  CHECK(Types("networkPolicies/web").back() == "network_policy.removed");
  pb::NamedNetworkPolicy gone;
  const grpc::Status missing = TryGet("web", &gone);
  CHECK(missing.error_code() == grpc::NOT_FOUND);
  CHECK(ReasonOf(missing) == "NETWORK_POLICY_NOT_FOUND");
  CHECK(ReasonOf(Remove("web")) == "NETWORK_POLICY_NOT_FOUND");
  CHECK(Remove("web", true).ok());
  Restart();
  CHECK_FALSE(TryGet("web", &gone).ok());
}

TEST_CASE_METHOD(NetworkFixture, "network: an event of hundreds of rules is short") {
  Texts cidrs;
  for (int i = 0; i < 256; ++i) cidrs.push_back("10." + std::to_string(i) + ".0.0/16");
  Put("wide", To(cidrs));
  CHECK(EventsOf("networkPolicies/wide")[0].message().size() < 1000);
  CHECK(PolicyOf("wide").egress_size() == 256);
}

TEST_CASE_METHOD(NetworkFixture, "network: a dry run checks all and changes nothing") {
  Put("web", To({"10.0.0.0/8"}));
  pb::NamedNetworkPolicy planned;
  CHECK(TryPut("web", To({"192.0.2.0/24"}), &planned, "", true).ok());
  CHECK(planned.policy().egress(0).cidr() == "192.0.2.0/24");
  CHECK(planned.has_create_time());
  CHECK(TryPut("new", {}, &planned, "", true).ok());
  CHECK_FALSE(planned.has_create_time());
  const grpc::Status wrong = TryPut("web", To({"10.0.0.1/8"}), &planned, "", true);
  CHECK(wrong.error_code() == grpc::INVALID_ARGUMENT);
  CHECK(DetailOf(wrong).constraint() == "policy.policy.egress[0].cidr");
  CHECK(DetailOf(TryPut("Web", {}, &planned, "", true)).constraint() == "policy.name");
  CHECK(PolicyOf("web").egress(0).cidr() == "10.0.0.0/8");
  CHECK_FALSE(TryGet("new", &planned).ok());
}

TEST_CASE_METHOD(NetworkFixture, "network: the same request has one effect") {
  CHECK(TryPut("web", To({"10.0.0.0/8"}), nullptr, "put-1").ok());
  CHECK(TryPut("web", To({"192.0.2.0/24"}), nullptr, "put-2").ok());
  pb::NamedNetworkPolicy again;
  CHECK(TryPut("web", To({"10.0.0.0/8"}), &again, "put-1").ok());
  CHECK(again.policy().egress(0).cidr() == "192.0.2.0/24");
  CHECK(ReasonOf(TryPut("web", {}, nullptr, "put-1")) == "REQUEST_ID_REUSED");
  CHECK(Remove("web", false, "rm-1").ok());
  Restart();
  CHECK(Remove("web", false, "rm-1").ok());
  CHECK(Types("networkPolicies/web").size() == 3);
}

TEST_CASE_METHOD(NetworkFixture, "network: policies are listed by name, in pages") {
  for (const char* name : {"c", "a", "b"}) Put(name, {});
  pb::ListNetworkPoliciesRequest request;
  request.set_page_size(2);
  Texts names;
  do {
    pb::ListNetworkPoliciesResponse response;
    Call call;
    REQUIRE(network->ListNetworkPolicies(&call, request, &response).ok());
    for (const auto& named : response.policies()) names.push_back(named.name());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  CHECK(names == Texts{"networkPolicies/a", "networkPolicies/b", "networkPolicies/c"});
}

TEST_CASE_METHOD(NetworkFixture, "network: tenants refer to policies that are there") {
  Prepare();
  pb::CreateTenantRequest request;
  request.set_tenant_id("lab");
  request.set_network_policy("web");
  pb::Tenant tenant;
  Call refused_call;
  const grpc::Status refused = tenants->CreateTenant(&refused_call, request, &tenant);
  CHECK(refused.error_code() == grpc::NOT_FOUND);
  CHECK(ReasonOf(refused) == "NETWORK_POLICY_NOT_FOUND");
  CHECK(ReasonOf(GivePolicy("web")) == "NETWORK_POLICY_NOT_FOUND");
  Put("web", {});
  Call call;
  CHECK(tenants->CreateTenant(&call, request, &tenant).ok());
  CHECK(GivePolicy("web").ok());
  pb::NamedNetworkPolicy named;
  REQUIRE(TryGet("web", &named).ok());
  REQUIRE(named.tenants_size() == 2);
  CHECK(named.tenants(1) == "tenants/lab");
  const grpc::Status used = Remove("web");
  CHECK(used.error_code() == grpc::FAILED_PRECONDITION);
  CHECK(ReasonOf(used) == "NETWORK_POLICY_IN_USE");
  CHECK(used.error_message().find("acme, lab") != std::string::npos);
  CHECK(GivePolicy("").ok());
  pb::DeleteTenantRequest remove;
  remove.set_name("tenants/lab");
  google::protobuf::Empty empty;
  Call remove_call;
  CHECK(tenants->DeleteTenant(&remove_call, remove, &empty).ok());
  CHECK(Remove("web").ok());
}

TEST_CASE_METHOD(NetworkFixture, "network: a change is in force for all under the policy") {
  Prepare();
  Put("web", To({"10.0.0.0/8"}));
  Put("db", To({"192.0.2.0/24"}));
  REQUIRE(GivePolicy("web").ok());
  const pb::Sandbox one = CreateConnected("one");
  const pb::Sandbox two = CreateConnected("two");
  const pb::Sandbox lonely = Create(Request("lonely"));
  CHECK(lonely.network().mode() == pb::NETWORK_MODE_NONE);
  CHECK(InForce(one) == Texts{"web: 10.0.0.0/8"});
  Put("web", To({"10.1.0.0/16"}));
  CHECK(InForce(one) == Texts{"web: 10.1.0.0/16"});
  CHECK(InForce(two) == Texts{"web: 10.1.0.0/16"});
  REQUIRE(GivePolicy("db").ok());
  CHECK(InForce(two) == Texts{"db: 192.0.2.0/24"});
  REQUIRE(GivePolicy("").ok());
  CHECK(InForce(two) == Texts{":"});
}

TEST_CASE_METHOD(NetworkFixture, "network: what cannot be put in force is not recorded") {
  Prepare();
  Put("web", To({"10.0.0.0/8"}));
  Put("db", To({"192.0.2.0/24"}));
  REQUIRE(GivePolicy("web").ok());
  const pb::Sandbox one = CreateConnected("one");
  networks().Fail("replace", Unavailable("nft is not there"));
  const grpc::Status refused = TryPut("web", To({"0.0.0.0/0"}), nullptr, "put-1");
  CHECK(refused.error_code() == grpc::UNAVAILABLE);
  CHECK(refused.error_message().find("nft is not there") != std::string::npos);
  CHECK(PolicyOf("web").egress(0).cidr() == "10.0.0.0/8");
  CHECK(GivePolicy("db").error_code() == grpc::UNAVAILABLE);
  CHECK(InForce(one) == Texts{"web: 10.0.0.0/8"});
  // Nobody is under it.
  CHECK(TryPut("db", To({"192.0.2.0/25"})).ok());
  CHECK(Types("networkPolicies/web").size() == 1);
  Restart();
  CHECK(PolicyOf("web").egress(0).cidr() == "10.0.0.0/8");
  pb::NamedNetworkPolicy named;
  REQUIRE(TryGet("web", &named).ok());
  CHECK(named.tenants_size() == 1);
  networks().Fail("replace", absl::OkStatus());
  // It was not remembered: asked again, it is done.
  CHECK(TryPut("web", To({"0.0.0.0/0"}), nullptr, "put-1").ok());
  CHECK(InForce(one) == Texts{"web: 0.0.0.0/0"});
}

TEST_CASE_METHOD(NetworkFixture, "network: a policy that is damaged denies everything") {
  Prepare();
  Put("web", To({"10.0.0.0/8"}));
  REQUIRE(GivePolicy("web").ok());
  const pb::Sandbox one = CreateConnected("one");
  Run(node().Drain());
  Shutdown();
  Damage("UPDATE network_policies SET checksum = checksum + 1");
  Serve();
  CHECK(InForce(one) == Texts{":"});
  pb::NamedNetworkPolicy named;
  CHECK(TryGet("web", &named).error_code() == grpc::NOT_FOUND);
  CHECK(ReasonOf(GivePolicy("web")) == "NETWORK_POLICY_NOT_FOUND");
  // The rest of the tenant can change.
  CHECK(GivePolicy("", "team").ok());
  // Made anew, it counts again.
  Put("web", To({"10.2.0.0/16"}));
  CHECK(InForce(one) == Texts{"web: 10.2.0.0/16"});
}

TEST_CASE_METHOD(NetworkFixture, "network: a sandbox's own policy and what is shown of it") {
  Prepare();
  Put("web", To({"10.0.0.0/8"}));
  REQUIRE(GivePolicy("web").ok());
  const pb::Sandbox one = CreateConnected("one");
  CHECK(one.network().mode() == pb::NETWORK_MODE_BRIDGE);
  CHECK(Get(one.name()).network().ipv4_address().starts_with("10.222."));
  pb::SetSandboxNetworkRequest set;
  set.set_name("sandboxes/one");
  *set.mutable_policy() = To({"10.1.0.0/16"});
  pb::SandboxNetwork shown;
  Call set_call;
  REQUIRE(network->SetSandboxNetwork(&set_call, set, &shown).ok());
  CHECK(shown.name() == one.name());
  CHECK(shown.display_name() == "one");
  CHECK(shown.tenant() == "tenants/acme");
  CHECK(shown.status().bridge() == "clawlet0");
  REQUIRE(shown.layers_size() == 2);
  CHECK(shown.layers(0).name() == "networkPolicies/web");
  CHECK(shown.layers(1).name() == "");
  CHECK(shown.layers(1).policy().egress(0).cidr() == "10.1.0.0/16");
  CHECK(shown.counters().sent().packets() == 3);
  CHECK(shown.counters().egress_denied().bytes() == 60);
  CHECK(Get(one.name()).spec().network().policy().egress_size() == 1);
  set.mutable_policy()->mutable_egress(0)->set_cidr("nowhere");
  Call wrong_call;
  const grpc::Status wrong = network->SetSandboxNetwork(&wrong_call, set, &shown);
  CHECK(DetailOf(wrong).constraint() == "policy.egress[0].cidr");
  set.clear_policy();
  Call clear_call;
  REQUIRE(network->SetSandboxNetwork(&clear_call, set, &shown).ok());
  CHECK(shown.layers_size() == 1);
  Create(Request("two"));
  pb::ListSandboxNetworksRequest list;
  list.set_page_size(1);
  pb::ListSandboxNetworksResponse page;
  Call list_call;
  REQUIRE(network->ListSandboxNetworks(&list_call, list, &page).ok());
  REQUIRE(page.networks_size() == 1);
  CHECK(page.networks(0).name() == one.name());
  CHECK_FALSE(page.next_page_token().empty());
  pb::GetSandboxNetworkRequest get;
  get.set_name("sandboxes/nobody");
  Call get_call;
  CHECK(network->GetSandboxNetwork(&get_call, get, &shown).error_code() == grpc::NOT_FOUND);
}

}  // namespace
}  // namespace claw::test
