#pragma once

// Between the API's messages and the model's values. Only what belongs to the form is checked here;
// the node checks the rest.

#include "agent/lifecycle/node.h"
#include "agent/model/event.h"
#include "agent/model/image.h"
#include "agent/model/sandbox.h"
#include "agent/model/tenant.h"
#include "claw/node/v1/event.pb.h"
#include "claw/node/v1/image.pb.h"
#include "claw/node/v1/sandbox.pb.h"
#include "claw/node/v1/tenant.pb.h"
#include "drivers/driver.h"

namespace claw::rpc {

namespace pb = ::claw::node::v1;

void SetTime(Time time, google::protobuf::Timestamp* out);
void SetMemory(const Memory& memory, pb::Memory* out);

StatusOr<Trust> FromProto(pb::Trust trust);
StatusOr<std::optional<IsolationClass>> FromProto(pb::IsolationClass isolation);
// Unchecked but for the trust: ValidateTenant does that.
StatusOr<Tenant> FromProto(const pb::CreateTenantRequest& request);
StatusOr<lifecycle::TenantPatch> FromProto(const pb::UpdateTenantRequest& request);
StatusOr<SandboxSpec> FromProto(const pb::SandboxSpec& spec);  // defaults filled in, and validated
StatusOr<drivers::ExecSpec> FromProto(const pb::ExecSpec& spec);

pb::IsolationClass ToProto(IsolationClass isolation);
pb::Tenant ToProto(const Tenant& tenant, int sandbox_count);
pb::Sandbox ToProto(const Sandbox& sandbox);
pb::ExitStatus ToProto(const ExitInfo& exit);
pb::Image ToProto(const Image& image, int use_count);
pb::Event ToProto(const Event& event);
pb::SandboxStats ToProto(const lifecycle::SandboxStats& stats);

std::string SandboxName(const std::string& id);

}  // namespace claw::rpc
