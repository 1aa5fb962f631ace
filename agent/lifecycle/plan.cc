#include "agent/lifecycle/plan.h"

#include <algorithm>

#include "agent/base/strings.h"
#include "agent/budget/ledger.h"
#include "agent/lifecycle/entry.h"
#include "agent/model/json.h"
#include "agent/policy/isolation.h"

namespace claw::lifecycle {
namespace {

constexpr char kDefaultPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

drivers::LaunchSpec MakeLaunch(const SandboxSpec& spec, const Image& image,
                               const Resources& resources) {
  drivers::LaunchSpec launch;
  launch.argv = ProgramOf(spec, image);
  launch.env = EnvironmentOf(spec, image);
  launch.working_directory =
      spec.working_directory.empty() ? image.working_directory : spec.working_directory;
  if (launch.working_directory.empty()) launch.working_directory = "/";
  launch.uid = image.uid;
  launch.gid = image.gid;
  launch.additional_gids = image.additional_gids;
  launch.mounts = spec.mounts;
  launch.resources = resources;
  launch.tty = spec.tty;
  launch.stdin_open = spec.stdin_open;
  launch.read_only_root = spec.read_only_root;
  return launch;
}

}  // namespace

std::vector<std::string> ProgramOf(const SandboxSpec& spec, const Image& image) {
  std::vector<std::string> argv = spec.command.empty() ? image.entrypoint : spec.command;
  const bool images_command = spec.args.empty() && spec.command.empty();
  const std::vector<std::string>& rest = images_command ? image.command : spec.args;
  argv.insert(argv.end(), rest.begin(), rest.end());
  return argv;
}

std::vector<std::string> EnvironmentOf(const SandboxSpec& spec, const Image& image) {
  std::vector<std::string> env = {kDefaultPath};
  const auto set = [&env](const std::string& entry) {
    const std::string name = entry.substr(0, entry.find('=') + 1);
    const auto same = [&name](const std::string& other) { return other.starts_with(name); };
    const auto it = std::find_if(env.begin(), env.end(), same);
    if (it == env.end()) {
      env.push_back(entry);
    } else {
      *it = entry;
    }
  };
  for (const std::string& entry : image.env) set(entry);
  for (const std::string& entry : spec.env) set(entry);
  return env;
}

void SetRuntime(const DriverState& state, Sandbox& record) {
  record.driver = state.driver->name();
  record.runtime_version = state.fingerprint.runtime_version;
  record.platform = state.fingerprint.platform;
}

StatusOr<Node::Plan> Node::MakePlan(const SandboxSpec& spec) const {
  ASSIGN_OR_RETURN(const Tenant tenant, GetTenant(spec.tenant));
  ASSIGN_OR_RETURN(const Image image, FindImage(spec.image));
  if (!spec.display_name.empty() && Find(spec.display_name) != nullptr) {
    return MakeError(StatusCode::kAlreadyExists,
                     StrCat("there is a sandbox '", spec.display_name, "' already"),
                     {.reason = "NAME_TAKEN", .constraint = "display_name"});
  }
  const policy::Decision decision = Decide(tenant, image, spec);
  RETURN_IF_ERROR(policy::ToStatus(decision));
  const IsolationClass isolation = *decision.isolation;
  const DriverState* state = DriverOf(isolation);
  if (state == nullptr) return Internal("no driver of class ", ToString(isolation));
  RETURN_IF_ERROR(policy::CheckQuota(
      tenant, QuotaUseOf(tenant.name),
      {.sandboxes = 1, .workload_bytes = spec.workload_bytes, .cpu_millis = spec.cpu_millis}));
  if (image.architecture != deps_.host.architecture) {
    return MakeError(StatusCode::kFailedPrecondition,
                     StrCat("image ", spec.image, " is for ", image.architecture, ", this node is ",
                            deps_.host.architecture),
                     {.reason = "ARCHITECTURE_MISMATCH",
                      .constraint = "image.architecture",
                      .needed = image.architecture,
                      .available = deps_.host.architecture});
  }
  Plan plan;
  plan.driver = state->driver;
  plan.tenant = tenant;
  plan.record.spec = spec;
  plan.record.isolation = isolation;
  plan.record.decision = decision.record;
  SetRuntime(*state, plan.record);
  plan.record.image_digest = image.digest;
  const budget::OverheadEstimate overhead = overheads_.Estimate(
      ClassOf(plan.record), state->fingerprint.overhead_prior_bytes, deps_.clock.Now());
  plan.record.resources = {
      .memory = budget::Charge(spec.workload_bytes, overhead.bytes, spec.request_bytes),
      .cpu_millis = spec.cpu_millis,
      .pids_max = spec.pids_max};
  RETURN_IF_ERROR(AdmitAnother(plan.record));
  plan.launch = MakeLaunch(spec, image, plan.record.resources);
  plan.launch.image_rootfs = deps_.images.RootfsPath(image.digest);
  if (plan.launch.argv.empty() || plan.launch.argv[0].empty()) {
    return MakeError(StatusCode::kInvalidArgument,
                     StrCat("image ", spec.image, " names no program; say which with `command`"),
                     {.reason = "NO_COMMAND", .constraint = "command"});
  }
  return plan;
}

std::string WriteKeptRecord(const Sandbox& sandbox, const Tenant& tenant) {
  // Two lines, each a record of its own.
  return StrCat(ToJson(sandbox), "\n", ToJson(tenant), "\n");
}

StatusOr<KeptRecord> ReadKeptRecord(const std::string& text) {
  const std::vector<std::string_view> lines = Split(text, '\n', true);
  if (lines.size() != 2) return DataLoss("the kept record has ", lines.size(), " lines, not 2");
  KeptRecord kept;
  ASSIGN_OR_RETURN(kept.sandbox, SandboxFromJson(lines[0]));
  ASSIGN_OR_RETURN(kept.tenant, TenantFromJson(lines[1]));
  return kept;
}

}  // namespace claw::lifecycle
