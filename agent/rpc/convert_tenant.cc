#include "agent/rpc/convert.h"
#include "agent/rpc/names.h"

namespace claw::rpc {
namespace {

pb::Trust ToProto(Trust trust) {
  return trust == Trust::kTrusted ? pb::TRUST_TRUSTED : pb::TRUST_UNTRUSTED;
}

// Sets the field of the patch that `path` names from `tenant`; false: no such field.
bool SetField(const pb::Tenant& tenant, std::string_view path, lifecycle::TenantPatch& patch) {
  const bool whole_quota = path == "quota";
  bool known = whole_quota;
  if (whole_quota || path == "quota.sandboxes") {
    patch.quota_sandboxes = tenant.quota().sandboxes();
    known = true;
  }
  if (whole_quota || path == "quota.workload_bytes") {
    patch.quota_workload_bytes = tenant.quota().workload_bytes();
    known = true;
  }
  if (whole_quota || path == "quota.cpu_millis") {
    patch.quota_cpu_millis = tenant.quota().cpu_millis();
    known = true;
  }
  if (path == "labels") {
    patch.labels.emplace(tenant.labels().begin(), tenant.labels().end());
    known = true;
  }
  if (path == "allowed_images") {
    patch.allowed_images.emplace(tenant.allowed_images().begin(), tenant.allowed_images().end());
    known = true;
  }
  if (path == "network_policy") {
    patch.network_policy = tenant.network_policy();
    known = true;
  }
  return known;
}

}  // namespace

StatusOr<Trust> FromProto(pb::Trust trust) {
  switch (trust) {
    case pb::TRUST_UNSPECIFIED:
    case pb::TRUST_UNTRUSTED:
      return Trust::kUntrusted;
    case pb::TRUST_TRUSTED:
      return Trust::kTrusted;
    default:
      return BadField("trust", StrCat("has the value ", static_cast<int>(trust),
                                      ", which this node does not know"));
  }
}

StatusOr<Tenant> FromProto(const pb::CreateTenantRequest& request) {
  Tenant tenant;
  tenant.name = request.tenant_id();
  ASSIGN_OR_RETURN(tenant.trust, FromProto(request.trust()));
  tenant.quota = {.sandboxes = request.quota().sandboxes(),
                  .workload_bytes = request.quota().workload_bytes(),
                  .cpu_millis = request.quota().cpu_millis()};
  tenant.labels = {request.labels().begin(), request.labels().end()};
  tenant.allowed_images = {request.allowed_images().begin(), request.allowed_images().end()};
  tenant.network_policy = request.network_policy();
  return tenant;
}

StatusOr<lifecycle::TenantPatch> FromProto(const pb::UpdateTenantRequest& request) {
  if (request.update_mask().paths().empty()) {
    return BadField("update_mask", "names no field; say which ones to change");
  }
  lifecycle::TenantPatch patch;
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "trust") {
      ASSIGN_OR_RETURN(patch.trust, FromProto(request.tenant().trust()));
    } else if (!SetField(request.tenant(), path, patch)) {
      return BadField("update_mask",
                      "names a field that a tenant does not have, or that is not "
                      "the caller's to change");
    }
  }
  return patch;
}

pb::Tenant ToProto(const Tenant& tenant, int sandbox_count) {
  pb::Tenant proto;
  proto.set_name(StrCat("tenants/", tenant.name));
  proto.set_trust(ToProto(tenant.trust));
  SetTime(tenant.created_at, proto.mutable_create_time());
  proto.set_sandbox_count(sandbox_count);
  proto.mutable_quota()->set_sandboxes(static_cast<int32_t>(tenant.quota.sandboxes));
  proto.mutable_quota()->set_workload_bytes(tenant.quota.workload_bytes);
  proto.mutable_quota()->set_cpu_millis(tenant.quota.cpu_millis);
  proto.mutable_labels()->insert(tenant.labels.begin(), tenant.labels.end());
  proto.mutable_allowed_images()->Assign(tenant.allowed_images.begin(),
                                         tenant.allowed_images.end());
  proto.set_network_policy(tenant.network_policy);
  if (tenant.updated_at != Time{}) SetTime(tenant.updated_at, proto.mutable_update_time());
  return proto;
}

}  // namespace claw::rpc
