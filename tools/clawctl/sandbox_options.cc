#include "tools/clawctl/sandbox_options.h"

#include <absl/strings/str_split.h>

#include <filesystem>

#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/resolve.h"

namespace claw::ctl {
namespace {

// SRC:DST[:rw|ro], read-only unless asked otherwise.
StatusOr<pb::Mount> ParseMount(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  const bool has_mode = parts.size() == 3 && (parts[2] == "rw" || parts[2] == "ro");
  if ((parts.size() != 2 && !has_mode) || parts[0].empty() || !parts[1].starts_with("/")) {
    return InvalidArgument("'", text, "' is not SOURCE:/DESTINATION[:ro|rw]");
  }
  pb::Mount mount;
  mount.set_source(std::filesystem::absolute(parts[0]).lexically_normal().string());
  mount.set_destination(parts[1]);
  mount.set_writable(has_mode && parts[2] == "rw");
  return mount;
}

// Where it may run. No target has two values of one label, so a selector that asks for both is a
// slip.
Status SetPlace(const SandboxOptions& options, pb::SandboxSpec& spec) {
  for (const std::string& text : options.selector) {
    ASSIGN_OR_RETURN(const auto pair, ParsePair(text));
    const auto [at, added] = spec.mutable_node_selector()->insert({pair.first, pair.second});
    if (!added && at->second != pair.second) {
      return UsageError(StrCat("--node-selector: '", pair.first, "' is asked to be '", at->second,
                               "' and '", pair.second, "', and can be only one"));
    }
  }
  for (const std::string& text : options.tolerations) spec.add_tolerations(text);
  for (const std::string& text : options.avoided) spec.add_avoid_tenants(TenantName(text));
  return absl::OkStatus();
}

void AddResourceOptions(CLI::App& command, pb::SandboxSpec& spec) {
  AddBytes(
      command, "--memory", [&spec](int64_t bytes) { spec.set_workload_bytes(bytes); },
      "Memory for the program, 16Mi to 16Ti; what the runtime needs comes on top")
      ->default_str("128Mi");
  AddBytes(
      command, "--memory-request", [&spec](int64_t bytes) { spec.set_memory_request_bytes(bytes); },
      "Set only so much of it aside: a burstable sandbox, which shares the rest with others")
      ->default_str("all of --memory");
  command
      .add_option_function<int32_t>(
          "--priority", [&spec](int32_t priority) { spec.set_priority(priority); },
          "When memory runs short the lower one is evicted earlier, -1000 to 1000")
      ->type_name("N")
      ->default_str("0")
      ->check(CLI::Range(-1000, 1000));
  command
      .add_option_function<std::string>(
          "--cpus",
          [&spec](const std::string& text) {
            const auto millis = ParseCpuMillis(text);
            ThrowIfError("--cpus", millis.status());
            spec.set_cpu_millis(*millis);
          },
          "Most CPUs that it may use, such as 0.5; no ceiling unless given")
      ->type_name("CPUS");
  command
      .add_option_function<int64_t>(
          "--pids", [&spec](int64_t most) { spec.set_pids_max(most); },
          "Most tasks that it may have, 1 to 4194304")
      ->type_name("N")
      ->default_str("1024")
      ->check(CLI::Range(int64_t{1}, int64_t{4194304}));
}

void AddContentOptions(CLI::App& command, SandboxOptions& options) {
  AddRepeated(command, "--env,-e", options.env, "Environment variable; may be given many times")
      ->type_name("NAME=VALUE")
      ->check(PairCheck());
  AddRepeated(command, "--mount", options.mounts,
              "File or folder of the host to show in the sandbox, read-only unless :rw; may be "
              "given many times")
      ->type_name("SRC:DST[:rw|ro]");
  AddRepeated(command, "--label", options.labels, "Label; may be given many times")
      ->type_name("KEY=VALUE")
      ->check(PairCheck());
  command
      .add_option("--workdir,-w", *options.spec.mutable_working_directory(),
                  "Working directory; the image's unless given")
      ->type_name("DIR");
  command
      .add_option("--entrypoint", options.entrypoint,
                  "Program to run instead of the image's; CMD ARGS are then its arguments")
      ->type_name("PROGRAM");
}

CLI::Validator TolerationCheck() {
  return CLI::Validator(
      [](const std::string& text) {
        const bool has_key = !text.empty() && !text.starts_with("=");
        return has_key ? std::string() : StrCat("'", text, "' is not KEY or KEY=VALUE");
      },
      "");
}

CLI::Validator TenantCheck() {
  return CLI::Validator(
      [](const std::string& text) {
        const bool is_name = !StripPrefix(text, "tenants/").empty();
        return is_name ? std::string() : "the name of a tenant is empty";
      },
      "");
}

void AddPlaceOptions(CLI::App& command, SandboxOptions& options) {
  AddRepeated(command, "--node-selector", options.selector,
              "Only where this label is; may be given many times, then all of them")
      ->type_name("KEY=VALUE")
      ->check(PairCheck());
  AddRepeated(command, "--toleration", options.tolerations,
              "Also where this taint is, whatever its value unless one is given; may be given many "
              "times")
      ->type_name("KEY[=VALUE]")
      ->check(TolerationCheck());
  AddRepeated(command, "--avoid-tenant", options.avoided,
              "Not where this tenant has sandboxes, nor may it come later; may be given many times")
      ->type_name("TENANT")
      ->check(TenantCheck());
  command.add_flag_callback(
      "--exclusive", [&options] { options.spec.set_exclusive(true); },
      "Only where no other tenant is, nor may one come later");
}

void AddNetworkOptions(CLI::App& command, SandboxOptions& options) {
  command
      .add_option_function<std::string>(
          "--network",
          [&options](const std::string& mode) {
            options.spec.mutable_network()->set_mode(mode == "bridge" ? pb::NETWORK_MODE_BRIDGE
                                                                      : pb::NETWORK_MODE_NONE);
          },
          "How it is connected; with rules or ports bridge unless given, else as the tenant's "
          "trust and policy have it")
      ->type_name("none|bridge")
      ->check(CLI::IsMember({"none", "bridge"}).description(""));
  AddPolicyOptions(command, options.policy);
  AddRepeated(command, "--publish,-p", options.published,
              "Port of the host that leads to one of its own, at all of the host's addresses "
              "unless one is given; may be given many times")
      ->type_name("[HOSTADDR:]HOSTPORT:PORT[/udp]");
}

Status SetNetwork(const SandboxOptions& options, pb::SandboxSpec& spec) {
  if (options.policy.any()) {
    ASSIGN_OR_RETURN(*spec.mutable_network()->mutable_policy(), BuildPolicy(options.policy));
  }
  for (const std::string& text : options.published) {
    const auto port = ParsePublish(text);
    if (!port.ok()) return UsageError(StrCat("--publish: ", ToStd(port.status().message())));
    *spec.mutable_network()->add_ports() = *port;
  }
  if (spec.network().mode() == pb::NETWORK_MODE_NONE &&
      (spec.network().has_policy() || !spec.network().ports().empty())) {
    return UsageError("--network none goes with no rules and no ports");
  }
  return absl::OkStatus();
}

void AddModeOptions(CLI::App& command, pb::SandboxSpec& spec) {
  const auto flag = [&](const std::string& name, void (pb::SandboxSpec::*set)(bool),
                        const std::string& description) {
    command.add_flag_callback(
        name, [&spec, set] { (spec.*set)(true); }, description);
  };
  command
      .add_option_function<std::string>(
          "--isolation",
          [&spec](const std::string&) { spec.set_isolation_class(pb::ISOLATION_CLASS_GVISOR); },
          "Ask for gVisor even where the policy would allow a plain container")
      ->type_name("gvisor")
      ->check(CLI::IsMember({"gvisor"}).description(""));
  flag("--read-only", &pb::SandboxSpec::set_read_only_root, "Make the root file system read-only");
  flag("--rm", &pb::SandboxSpec::set_auto_remove, "Remove the sandbox once its program has ended");
  flag("-i,--interactive", &pb::SandboxSpec::set_stdin_open, "Pass standard input on to it");
  flag("-t,--tty", &pb::SandboxSpec::set_tty, "Give it a terminal");
}

}  // namespace

void AddSandboxOptions(CLI::App& command, Context& context,
                       const std::shared_ptr<SandboxOptions>& options) {
  command
      .add_option("--image", *options->spec.mutable_image(),
                  "Image: its name on this node, or sha256:…")
      ->type_name("IMAGE")
      ->required();
  command.add_option("--tenant", options->tenant, "Tenant on whose behalf it runs")
      ->type_name("TENANT")
      ->required();
  command
      .add_option("--name", *options->spec.mutable_display_name(),
                  "Name of the sandbox, unique on the node: a-z, 0-9 and '-'")
      ->type_name("NAME");
  AddResourceOptions(command, options->spec);
  AddContentOptions(command, *options);
  AddPlaceOptions(command, *options);
  AddNetworkOptions(command, *options);
  AddModeOptions(command, options->spec);
  // The options above hold references into it.
  command.parse_complete_callback([&context, options] { context.takes_program = true; });
}

StatusOr<pb::SandboxSpec> BuildSpec(const Context& context, const SandboxOptions& options) {
  pb::SandboxSpec spec = options.spec;
  spec.set_tenant(TenantName(options.tenant));
  for (const std::string& pair : options.env) spec.add_env(pair);
  for (const std::string& text : options.mounts) {
    const auto mount = ParseMount(text);
    if (!mount.ok()) return UsageError(StrCat("--mount: ", mount.status().message()));
    *spec.add_mounts() = *mount;
  }
  for (const std::string& text : options.labels) {
    ASSIGN_OR_RETURN(const auto pair, ParsePair(text));
    (*spec.mutable_labels())[pair.first] = pair.second;
  }
  RETURN_IF_ERROR(SetPlace(options, spec));
  RETURN_IF_ERROR(SetNetwork(options, spec));
  if (!options.entrypoint.empty()) spec.add_command(options.entrypoint);
  if (context.program)
    spec.mutable_args()->Assign(context.program->begin(), context.program->end());
  return spec;
}

}  // namespace claw::ctl
