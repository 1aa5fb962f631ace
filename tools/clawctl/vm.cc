#include <memory>
#include <optional>

#include "agent/base/bytes.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/node_view.h"
#include "tools/clawctl/progress.h"

namespace claw::ctl {
namespace {

struct VmOptions {
  std::string name;
  pb::VmSpec spec;
  bool dry_run = false;
  bool force = false;
  bool follow = false;
  bool quiet = false;
  bool start = false;
  int64_t tail_bytes = 0;
  std::string reason;
  std::optional<std::chrono::milliseconds> grace;
};
using Options = std::shared_ptr<VmOptions>;

std::string VmName(std::string_view typed) { return StrCat("vms/", StripPrefix(typed, "vms/")); }

std::string StateText(const pb::Vm& vm) {
  std::string text = pb::VmState_Name(vm.state()).substr(std::string_view("VM_STATE_").size());
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  if (vm.has_cordon()) text += ",cordoned";
  if (vm.image_outdated()) text += ",old-image";
  return text;
}

std::string BytesOrDash(int64_t bytes) { return bytes > 0 ? FormatBytes(bytes) : "-"; }

std::string BalloonText(const pb::Vm& vm) {
  const int64_t has = vm.memory().balloon_bytes();
  const int64_t target = vm.memory().balloon_target_bytes();
  std::string text = StrCat("the guest has ", BytesOrDash(has));
  if (target != has) text += StrCat(", and is to have ", BytesOrDash(target));
  return text;
}

std::string OverheadText(const pb::VmMemory& memory) {
  if (memory.measured_overhead_bytes() == 0) return "not measured";
  return StrCat(BytesOrDash(memory.overhead_bytes()), " now, ",
                FormatBytes(memory.measured_overhead_bytes()), " at the most, with a margin");
}

Table VmTable(const Context& context, const std::vector<pb::Vm>& vms) {
  Table table({{"NAME"},
               {"STATE"},
               {"TYPE"},
               {"CPUS"},
               {"MEMORY"},
               {"CHARGED"},
               {"SANDBOXES"},
               {"GUEST-FREE"},
               {.title = "BALLOON", .wide = true},
               {.title = "RESIDENT", .wide = true},
               {.title = "OVERHEAD", .wide = true},
               {.title = "DISK", .wide = true},
               {.title = "PRESSURE", .wide = true},
               {.title = "IMAGE", .wide = true},
               {"AGE"}});
  for (const pb::Vm& vm : vms) {
    const bool answers = vm.has_guest();
    table.Add({std::string(BareName(vm.name())), StateText(vm),
               StrCat(vm.domain_type(), vm.emulated() ? " (emulated)" : ""),
               StrCat(vm.spec().cpus()), FormatBytes(vm.spec().memory_bytes()),
               BytesOrDash(vm.charged_bytes()),
               answers ? StrCat(vm.guest().active_sandboxes()) : "-",
               answers ? FormatBytes(vm.guest().memory().available_bytes()) : "-",
               BytesOrDash(vm.memory().balloon_bytes()), BytesOrDash(vm.memory().resident_bytes()),
               BytesOrDash(vm.memory().measured_overhead_bytes()),
               FormatBytes(vm.spec().disk_bytes()), answers ? vm.guest().pressure() : "-",
               vm.image_digest().empty() ? "-" : ShortId(vm.image_digest()),
               context.AgeOf(vm.has_create_time(), vm.create_time())});
  }
  return table;
}

void AddGuestFields(const pb::Vm& vm, Fields& fields) {
  if (!vm.has_guest()) {
    fields.Add("Guest", "does not answer");
    return;
  }
  const pb::GuestSummary& guest = vm.guest();
  fields.Add("Guest",
             StrCat("clawlet ", guest.agent_version(), " on ", guest.architecture(), ", Linux ",
                    guest.kernel_version(), ", pages of ", guest.page_size_bytes(), " bytes"));
  fields.Add("Ready", guest.ready() ? "yes" : StrCat("no: ", guest.problem()));
  fields.Add("Sandboxes", StrCat(guest.active_sandboxes()));
  fields.Add("Guest ledger", StrCat(FormatBytes(guest.memory().charged_bytes()), " charged of ",
                                    FormatBytes(guest.memory().allocatable_bytes())));
  fields.Add("Guest memory",
             StrCat(FormatBytes(vm.memory().guest_available_bytes()), " available of ",
                    FormatBytes(vm.memory().guest_total_bytes())));
  fields.Add("Pressure", guest.pressure());
}

std::string Describe(const Context& context, const pb::Vm& vm) {
  Fields fields;
  fields.Add("Name", std::string(BareName(vm.name())));
  fields.Add("State", StateText(vm));
  if (!vm.failure().empty()) fields.Add("Failure", vm.failure());
  if (vm.has_cordon()) fields.Add("Cordoned", vm.cordon().reason());
  fields.Add("Type", StrCat(vm.domain_type(), vm.emulated() ? ", its processor is emulated" : ""));
  fields.Add("CPUs", StrCat(vm.spec().cpus()));
  fields.Add("Memory", StrCat(FormatBytes(vm.spec().memory_bytes()), ", and ",
                              FormatBytes(vm.overhead_bytes()), " for its hypervisor"));
  fields.Add("Charged", FormatBytes(vm.charged_bytes()));
  fields.Add("Disk", FormatBytes(vm.spec().disk_bytes()));
  if (!vm.image_digest().empty()) {
    fields.Add("Image",
               StrCat(vm.image_digest(), vm.image_outdated() ? " (a restart replaces it)" : ""));
  }
  if (vm.has_memory()) {
    fields.Add("Balloon", BalloonText(vm));
    fields.Add("Resident", BytesOrDash(vm.memory().resident_bytes()));
    fields.Add("Overhead", OverheadText(vm.memory()));
    AddGuestFields(vm, fields);
    if (vm.has_certificate_expire_time()) {
      fields.Add("Certificate",
                 StrCat("ends in ", TimeLeft(context, vm.certificate_expire_time())));
    }
  }
  fields.Add("Age", context.AgeOf(vm.has_create_time(), vm.create_time()));
  if (vm.has_start_time()) fields.Add("Started", context.AgeOf(true, vm.start_time()));
  return fields.Render();
}

void Print(const Context& context, const pb::Vm& vm) {
  context.PrintItem(vm, [&](bool) { return Describe(context, vm); });
}

Status List(Context& context) {
  ASSIGN_OR_RETURN(const pb::ListVmsResponse response, context.client().ListVms());
  const std::vector<pb::Vm> vms(response.vms().begin(), response.vms().end());
  context.PrintList(ToMessages(vms), VmTable(context, vms));
  if (!response.problem().empty() && !vms.empty()) context.Notice(response.problem());
  return absl::OkStatus();
}

Status Start(Context& context, const VmOptions& options) {
  pb::StartVmRequest request;
  request.set_name(VmName(options.name));
  StatusOr<pb::Vm> vm = Internal("it was not asked");
  {
    Progress progress(context, options.quiet);
    vm = context.client().StartVm(
        request, [&](const pb::VmProgress& step) { progress.Show(step.message()); });
  }
  RETURN_IF_ERROR(vm.status());
  Print(context, *vm);
  return absl::OkStatus();
}

Status Create(Context& context, const VmOptions& options) {
  pb::CreateVmRequest request;
  *request.mutable_spec() = options.spec;
  request.mutable_spec()->set_display_name(options.name);
  request.set_validate_only(options.dry_run);
  ASSIGN_OR_RETURN(const pb::Vm vm, context.client().CreateVm(std::move(request)));
  if (options.start && !options.dry_run) return Start(context, options);
  Print(context, vm);
  return absl::OkStatus();
}

// Most commands change one VM and show what has become of it.
template <typename Request>
Status Change(Context& context, const VmOptions& options,
              StatusOr<pb::Vm> (Client::*call)(Request request), Request request) {
  request.set_name(VmName(options.name));
  ASSIGN_OR_RETURN(const pb::Vm vm, (context.client().*call)(std::move(request)));
  Print(context, vm);
  return absl::OkStatus();
}

Status Stop(Context& context, const VmOptions& options) {
  pb::StopVmRequest request;
  request.set_force(options.force);
  if (options.grace) {
    request.mutable_grace_period()->set_seconds(options.grace->count() / 1000);
    request.mutable_grace_period()->set_nanos(static_cast<int32_t>(options.grace->count() % 1000) *
                                              1'000'000);
  }
  return Change(context, options, &Client::StopVm, std::move(request));
}

Status RestartAgent(Context& context, const VmOptions& options) {
  pb::RestartGuestAgentRequest request;
  request.set_at_once(options.force);
  return Change(context, options, &Client::RestartGuestAgent, std::move(request));
}

Status Suspend(Context& context, const VmOptions& options) {
  return Change(context, options, &Client::SuspendVm, pb::SuspendVmRequest());
}

Status Drain(Context& context, const VmOptions& options) {
  pb::DrainVmRequest request;
  request.set_reason(options.reason);
  return Change(context, options, &Client::DrainVm, std::move(request));
}

Status SetCordon(Context& context, const VmOptions& options, bool cordoned) {
  pb::CordonVmRequest request;
  request.set_cordoned(cordoned);
  request.set_reason(options.reason);
  return Change(context, options, &Client::CordonVm, std::move(request));
}

Status Remove(Context& context, const VmOptions& options) {
  pb::DeleteVmRequest request;
  request.set_name(VmName(options.name));
  request.set_force(options.force);
  RETURN_IF_ERROR(context.client().DeleteVm(std::move(request)));
  context.Out(StrCat(EscapeControls(BareName(VmName(options.name))), "\n"));
  return absl::OkStatus();
}

Status Inspect(Context& context, const VmOptions& options) {
  ASSIGN_OR_RETURN(const pb::Vm vm, context.client().GetVm(VmName(options.name)));
  Print(context, vm);
  return absl::OkStatus();
}

Status Console(Context& context, const VmOptions& options) {
  pb::StreamConsoleRequest request;
  request.set_name(VmName(options.name));
  request.set_follow(options.follow);
  request.set_tail_bytes(options.tail_bytes);
  return context.client().StreamConsole(
      request, [&](const pb::ConsoleChunk& chunk) { context.Out(chunk.data()); });
}

Status ShowImage(Context& context) {
  ASSIGN_OR_RETURN(const pb::GuestImage image, context.client().GetGuestImage());
  context.PrintItem(image, [&](bool wide) {
    Fields fields;
    fields.Add("Digest", image.digest());
    fields.Add("Folder", image.folder());
    fields.Add("Architecture", image.architecture());
    fields.Add("Kernel", image.kernel_version());
    fields.Add("Agent", image.agent_version());
    fields.Add("Size", FormatBytes(image.size_bytes()));
    fields.Add("Packages", StrCat(image.packages_size()));
    std::string text = fields.Render();
    if (!wide) return text;
    Table packages({{"PACKAGE"}, {"VERSION"}, {"SHA256"}});
    for (const auto& package : image.packages()) {
      packages.Add({package.name(), package.version(), package.sha256()});
    }
    return text + "\n" + packages.Render(true, context.UsesColor());
  });
  return absl::OkStatus();
}

CLI::App* AddNamed(CLI::App& group, const std::string& name, const std::string& description,
                   const std::string& example, const Options& options) {
  CLI::App* command = AddCommand(group, name, description, example);
  command->add_option("NAME", options->name, "VM")->required();
  return command;
}

void AddMaking(CLI::App& group, Context& context) {
  const auto options = std::make_shared<VmOptions>();
  CLI::App* create =
      AddNamed(group, "create", "Define a VM; it takes no memory until it is started",
               "clawctl node vm create mac1 --cpus 4 --memory 8Gi --disk 40Gi --start\n"
               "  clawctl node vm create small --dry-run\n"
               "What is not given is as [vm] in the agent's config says. There already, and the "
               "same: that is fine.",
               options);
  create
      ->add_option_function<int64_t>(
          "--cpus", [options](int64_t cpus) { options->spec.set_cpus(cpus); }, "1 to 8")
      ->type_name("N");
  AddBytes(
      *create, "--memory", [options](int64_t bytes) { options->spec.set_memory_bytes(bytes); },
      "Of the guest, at least 384Mi; charged while it runs");
  AddBytes(
      *create, "--disk", [options](int64_t bytes) { options->spec.set_disk_bytes(bytes); },
      "For images and layers; it takes what is used");
  create->add_flag("--start", options->start, "Start it at once");
  create->add_flag("--dry-run", options->dry_run, "Check everything, and change nothing");
  SetAction(create, context, [&context, options] { return Create(context, *options); });

  CLI::App* start =
      AddNamed(group, "start", "Start a VM, or let a suspended one go on",
               "clawctl node vm start mac1\nAnswers when the guest's agent does.", options);
  start->add_flag("-q,--quiet", options->quiet, "Do not say what is being done");
  SetAction(start, context, [&context, options] { return Start(context, *options); });

  CLI::App* remove =
      AddNamed(group, "rm", "Remove a VM with all that is on its disk",
               "clawctl node vm rm mac1\n  clawctl node vm rm mac1 --force", options);
  remove->add_flag("-f,--force", options->force, "Even while it runs, with what runs in it");
  SetAction(remove, context, [&context, options] { return Remove(context, *options); });
}

void AddEnding(CLI::App& group, Context& context) {
  const auto options = std::make_shared<VmOptions>();
  CLI::App* stop = AddNamed(group, "stop", "Switch a VM off; its disk stays",
                            "clawctl node vm stop mac1 --grace 1m\n"
                            "Refused while sandboxes run in it, unless forced.",
                            options);
  stop->add_flag("-f,--force", options->force, "Sandboxes in it end with it");
  AddDuration(*stop, "--grace", options->grace, "Before the plug is pulled", "30s");
  SetAction(stop, context, [&context, options] { return Stop(context, *options); });

  CLI::App* restart =
      AddNamed(group, "restart-agent", "Start the agent in a VM anew; what runs there runs on",
               "clawctl node vm restart-agent mac1", options);
  restart->add_flag("-f,--force", options->force,
                    "As if it was killed, instead of ending what is under way first");
  SetAction(restart, context, [&context, options] { return RestartAgent(context, *options); });

  CLI::App* suspend = AddNamed(group, "suspend", "Let a VM stand still; `start` lets it go on",
                               "clawctl node vm suspend mac1\nIts memory stays charged.", options);
  SetAction(suspend, context, [&context, options] { return Suspend(context, *options); });

  constexpr char kWhy[] = "Why, for whoever wonders; at most 512 bytes";
  CLI::App* drain =
      AddNamed(group, "drain", "Take nothing new, and stop once nothing runs in it any more",
               "clawctl node vm drain mac1 --reason 'new guest image'", options);
  drain->add_option("--reason", options->reason, kWhy)->type_name("TEXT");
  SetAction(drain, context, [&context, options] { return Drain(context, *options); });

  CLI::App* cordon = AddNamed(group, "cordon", "Take nothing new; what runs goes on",
                              "clawctl node vm cordon mac1 --reason 'looks slow'", options);
  cordon->add_option("--reason", options->reason, kWhy)->type_name("TEXT");
  SetAction(cordon, context, [&context, options] { return SetCordon(context, *options, true); });
  CLI::App* uncordon = AddNamed(group, "uncordon", "Take new work again, also after a drain",
                                "clawctl node vm uncordon mac1", options);
  SetAction(uncordon, context, [&context, options] { return SetCordon(context, *options, false); });
}

void AddLooking(CLI::App& group, Context& context) {
  const auto options = std::make_shared<VmOptions>();
  CLI::App* list =
      AddCommand(group, "ls", "List VMs with what their guests say", "clawctl node vm ls -o wide");
  SetAction(list, context, [&context] { return List(context); });

  CLI::App* inspect = AddNamed(group, "inspect", "Show one VM: its state, memory and guest",
                               "clawctl node vm inspect mac1 -o json", options);
  SetAction(inspect, context, [&context, options] { return Inspect(context, *options); });

  CLI::App* console = AddNamed(
      group, "console", "Show what a VM's console has said since it was started",
      "clawctl node vm console mac1 -f\n  clawctl node vm console mac1 --tail 4Ki", options);
  console->add_flag("-f,--follow", options->follow, "Go on until it is off");
  AddBytes(
      *console, "--tail", [options](int64_t bytes) { options->tail_bytes = bytes; },
      "Only the last so many bytes");
  SetAction(console, context, [&context, options] { return Console(context, *options); });

  CLI::App* image =
      AddCommand(group, "image", "Check the guest image, and show what it was made of",
                 "clawctl node vm image -o wide");
  SetAction(image, context, [&context] { return ShowImage(context); });
}

}  // namespace

void AddVmCommands(CLI::App& parent, Context& context) {
  CLI::App* group =
      AddGroup(parent, "vm", "Manage this host's arm64 virtual machines",
               "clawctl node vm create mac1 --memory 4Gi --start\n"
               "  clawctl node vm ls -o wide\n  clawctl node vm console mac1 -f\n"
               "They need vm.enabled = true in the agent's config, libvirt, QEMU, and "
               "a guest image (tools/guest-image).");
  AddLooking(*group, context);
  AddMaking(*group, context);
  AddEnding(*group, context);
}

}  // namespace claw::ctl
