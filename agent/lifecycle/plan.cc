#include "agent/lifecycle/plan.h"

#include <algorithm>

#include "agent/base/strings.h"
#include "agent/budget/ledger.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/vms.h"
#include "agent/model/json.h"
#include "agent/placement/choose.h"
#include "agent/policy/isolation.h"
#include "agent/policy/network.h"

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
  if (launch.working_directory.empty()) launch.working_directory.assign(1, '/');
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

Status Node::CheckName(const SandboxSpec& spec) const {
  const std::string& name = spec.display_name;
  if (name.empty() || Find(name) == nullptr) return absl::OkStatus();
  return MakeError(StatusCode::kAlreadyExists, StrCat("there is a sandbox '", name, "' already"),
                   {.reason = "NAME_TAKEN", .constraint = "display_name"});
}

Status Node::CheckProgram(const SandboxSpec& spec, const Image& image) {
  const std::vector<std::string> program = ProgramOf(spec, image);
  if (!program.empty() && !program[0].empty()) return absl::OkStatus();
  return MakeError(StatusCode::kInvalidArgument,
                   StrCat("image ", spec.image, " names no program; say which with `command`"),
                   {.reason = "NO_COMMAND", .constraint = "command"});
}

StatusOr<Node::Plan> Node::MakePlan(const SandboxSpec& spec, const std::string& digest) const {
  RETURN_IF_ERROR(CheckName(spec));
  ASSIGN_OR_RETURN(const Tenant tenant, GetTenant(spec.tenant));
  ASSIGN_OR_RETURN(const std::vector<Image> variants,
                   FindVariants(digest.empty() ? spec.image : digest));
  for (const Image& variant : variants) RETURN_IF_ERROR(CheckProgram(spec, variant));
  const placement::Demand demand = DemandFor(tenant, variants, spec);
  ASSIGN_OR_RETURN(const placement::Choice choice,
                   placement::Choose(Targets(), demand, PlacementSettings()));
  const placement::Offer& offer = choice.offer;
  Sandbox record;
  record.spec = spec;
  record.target = choice.target->name;
  record.image_digest = offer.image_digest;
  record.resources = {
      .memory = offer.memory, .cpu_millis = spec.cpu_millis, .pids_max = spec.pids_max};
  ASSIGN_OR_RETURN(const Image image, FindImage(offer.image_digest));
  return PlanOf(std::move(record), offer, tenant, image);
}

StatusOr<Node::Plan> Node::PlanReserved(const Entry& entry) const {
  const Sandbox& record = entry.record;
  ASSIGN_OR_RETURN(const Tenant tenant, GetTenant(record.spec.tenant));
  ASSIGN_OR_RETURN(const Image image, FindImage(record.image_digest));
  ASSIGN_OR_RETURN(const placement::Target* target, FindTarget(record.target));
  const std::vector<Image> variants(1, image);
  placement::Demand demand = DemandFor(tenant, variants, record.spec);
  demand.memory = record.resources.memory;
  placement::Examiner examiner(demand, PlacementSettings());
  // Its place is its own: it is asked as if it did not have it.
  LetGo(record);
  const StatusOr<placement::Offer> offer = examiner.Ask(*target);
  Hold(record);
  RETURN_IF_ERROR(offer.status());
  if (offer->runtime.driver != record.driver) {
    return MakeError(StatusCode::kPermissionDenied,
                     StrCat("it was reserved in class ", ToString(record.isolation),
                            ", the policy now says ", ToString(*offer->decision.isolation)),
                     {.reason = "POLICY_CHANGED",
                      .constraint = offer->decision.record.rule,
                      .needed = std::string(ToString(record.isolation)),
                      .available = std::string(ToString(*offer->decision.isolation))});
  }
  return PlanOf(record, *offer, tenant, image);
}

StatusOr<Node::Plan> Node::PlanOf(Sandbox record, const placement::Offer& offer,
                                  const Tenant& tenant, const Image& image) const {
  Plan plan;
  record.isolation = *offer.decision.isolation;
  record.decision = offer.decision.record;
  record.driver = offer.runtime.driver;
  plan.driver = DriverFor(record);
  if (plan.driver == nullptr) return Internal("there is no driver ", offer.runtime.driver);
  plan.tenant = tenant;
  record.runtime_version = offer.runtime.version;
  record.platform = offer.runtime.platform;
  plan.launch = MakeLaunch(record.spec, image, record.resources);
  record.network_mode = policy::DecideNetwork(record.spec.network, tenant);
  plan.launch.network = record.network_mode;
  plan.launch.image_rootfs = deps_.images.RootfsPath(image.digest);
  if (!VmOf(record).empty()) plan.launch.guest = FactsFor(record, tenant, image);
  plan.record = std::move(record);
  return plan;
}

std::shared_ptr<const drivers::GuestFacts> Node::FactsFor(const Sandbox& record,
                                                          const Tenant& tenant,
                                                          const Image& image) const {
  auto facts = std::make_shared<drivers::GuestFacts>();
  facts->tenant = tenant;
  facts->image = image;
  // Those that the config no longer knows do not count in the guest either.
  std::erase_if(facts->image.signers, [this](const std::string& signer) {
    const std::vector<std::string>& known = config_.signers;
    return std::find(known.begin(), known.end(), signer) == known.end();
  });
  facts->spec = record.spec;
  if (const auto it = verdicts_.find(image.digest); it != verdicts_.end()) {
    facts->verdicts = it->second;
  }
  if (const auto it = overrides_.find(image.digest); it != overrides_.end()) {
    facts->compat_override = it->second;
  }
  return facts;
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
