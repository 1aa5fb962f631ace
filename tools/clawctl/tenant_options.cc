#include "tools/clawctl/tenant_options.h"

#include <limits>

#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"

namespace claw::ctl {
namespace {

void AddQuota(CLI::App& command, TenantOptions& options) {
  command.add_option("--max-sandboxes", options.sandboxes, "Most sandboxes at a time; 0: no bound")
      ->type_name("N")
      ->check(CLI::Range(0, std::numeric_limits<int32_t>::max()).description(""));
  AddBytes(
      command, "--max-memory", [&options](int64_t bytes) { options.workload_bytes = bytes; },
      "Most memory of its programs together; 0: no bound");
  command
      .add_option_function<std::string>(
          "--max-cpus",
          [&options](const std::string& text) {
            const auto millis = ParseCpuMillis(text);
            ThrowIfError("--max-cpus", millis.status());
            options.cpu_millis = *millis;
          },
          "Most CPUs together; every sandbox then needs --cpus. 0: no bound")
      ->type_name("CPUS");
}

void AddClearing(CLI::App& command, TenantOptions& options) {
  command.add_flag("--no-quota", options.no_quota, "No bounds any more");
  command.add_flag("--no-labels", options.no_labels, "No labels any more");
  command.add_flag("--no-allow-image", options.no_allowed_images, "Any image again");
  command.add_flag("--no-network-policy", options.no_network_policy,
                   "The node's default policy again");
}

// An empty value is another way to write --no-…
bool IsCleared(const std::vector<std::string>& values) {
  return values.size() == 1 && values.front().empty();
}

Status Exclusive(bool cleared, bool given, std::string_view name) {
  if (!cleared || !given) return absl::OkStatus();
  return UsageError(StrCat("--no-", name, " and its opposite are both there"));
}

Status ApplyQuota(const TenantOptions& options, pb::Tenant& tenant,
                  google::protobuf::FieldMask& mask) {
  const bool any = options.sandboxes || options.workload_bytes || options.cpu_millis;
  RETURN_IF_ERROR(Exclusive(options.no_quota, any, "quota"));
  if (options.no_quota) {
    tenant.clear_quota();
    mask.add_paths("quota");
  }
  if (options.sandboxes) {
    tenant.mutable_quota()->set_sandboxes(*options.sandboxes);
    mask.add_paths("quota.sandboxes");
  }
  if (options.workload_bytes) {
    tenant.mutable_quota()->set_workload_bytes(*options.workload_bytes);
    mask.add_paths("quota.workload_bytes");
  }
  if (options.cpu_millis) {
    tenant.mutable_quota()->set_cpu_millis(*options.cpu_millis);
    mask.add_paths("quota.cpu_millis");
  }
  return absl::OkStatus();
}

Status ApplyLabels(const TenantOptions& options, pb::Tenant& tenant,
                   google::protobuf::FieldMask& mask) {
  RETURN_IF_ERROR(Exclusive(options.no_labels, !options.labels.empty(), "labels"));
  if (!options.no_labels && options.labels.empty()) return absl::OkStatus();
  tenant.clear_labels();
  mask.add_paths("labels");
  if (options.no_labels || IsCleared(options.labels)) return absl::OkStatus();
  for (const std::string& text : options.labels) {
    const auto pair = ParsePair(text);
    if (!pair.ok()) return UsageError(StrCat("--label: ", pair.status().message()));
    (*tenant.mutable_labels())[pair->first] = pair->second;
  }
  return absl::OkStatus();
}

Status ApplyImages(const TenantOptions& options, pb::Tenant& tenant,
                   google::protobuf::FieldMask& mask) {
  const std::vector<std::string>& images = options.allowed_images;
  RETURN_IF_ERROR(Exclusive(options.no_allowed_images, !images.empty(), "allow-image"));
  if (!options.no_allowed_images && images.empty()) return absl::OkStatus();
  tenant.clear_allowed_images();
  mask.add_paths("allowed_images");
  if (options.no_allowed_images || IsCleared(images)) return absl::OkStatus();
  for (const std::string& image : images) {
    if (!image.starts_with("sha256:") && !image.starts_with("signer:")) {
      return UsageError(StrCat("--allow-image: '", image,
                               "' is neither sha256:… nor signer:NAME (`clawctl node image ls -o "
                               "wide` shows digests and signers)"));
    }
    tenant.add_allowed_images(image);
  }
  return absl::OkStatus();
}

}  // namespace

void AddTenantOptions(CLI::App& command, TenantOptions& options, bool clearing) {
  command
      .add_option("--trust", options.trust,
                  "How far its code is trusted: untrusted code runs under gVisor, trusted code in "
                  "a plain container")
      ->type_name("trusted|untrusted")
      ->check(CLI::IsMember({"trusted", "untrusted"}).description(""));
  AddQuota(command, options);
  AddRepeated(command, "--label", options.labels, "Label; may be given many times")
      ->type_name("KEY=VALUE");
  AddRepeated(command, "--allow-image", options.allowed_images,
              "Image that it may run: a digest, or signer:NAME for all of a signer; may be given "
              "many times; any image unless given")
      ->type_name("sha256:…|signer:NAME");
  command.add_option("--network-policy", options.network_policy, "Network policy of its sandboxes")
      ->type_name("NAME");
  if (clearing) AddClearing(command, options);
}

Status ApplyTenantOptions(const TenantOptions& options, pb::Tenant& tenant,
                          google::protobuf::FieldMask& mask) {
  if (options.trust) {
    tenant.set_trust(*options.trust == "trusted" ? pb::TRUST_TRUSTED : pb::TRUST_UNTRUSTED);
    mask.add_paths("trust");
  }
  RETURN_IF_ERROR(ApplyQuota(options, tenant, mask));
  RETURN_IF_ERROR(ApplyLabels(options, tenant, mask));
  RETURN_IF_ERROR(ApplyImages(options, tenant, mask));
  RETURN_IF_ERROR(
      Exclusive(options.no_network_policy, options.network_policy.has_value(), "network-policy"));
  if (options.no_network_policy || options.network_policy) {
    tenant.set_network_policy(options.network_policy.value_or(""));
    mask.add_paths("network_policy");
  }
  return absl::OkStatus();
}

}  // namespace claw::ctl
