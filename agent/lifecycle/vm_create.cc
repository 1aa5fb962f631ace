#include "agent/base/id.h"
#include "agent/base/strings.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {
namespace {

VmSpec WithDefaults(VmSpec spec, const VmSpec& defaults) {
  if (spec.cpus == 0) spec.cpus = defaults.cpus;
  if (spec.memory_bytes == 0) spec.memory_bytes = defaults.memory_bytes;
  if (spec.disk_bytes == 0) spec.disk_bytes = defaults.disk_bytes;
  return spec;
}

Status VmExists(const Vm& known) {
  return MakeError(StatusCode::kAlreadyExists,
                   StrCat("VM '", known.spec.name, "' exists with ", known.spec.cpus, " CPUs, ",
                          FormatBytes(known.spec.memory_bytes), " and a disk of ",
                          FormatBytes(known.spec.disk_bytes), "; remove it first"),
                   {.reason = "VM_EXISTS", .constraint = "name", .outcome = Outcome::kRefused});
}

std::string Fingerprint(const VmSpec& spec) {
  return ContentFingerprint(
      StrCat(spec.name, " ", spec.cpus, " ", spec.memory_bytes, " ", spec.disk_bytes));
}

}  // namespace

Task<StatusOr<Vm>> Node::Vms::Create(Call call, VmSpec wanted, bool validate_only) {
  co_await Uncancellable();
  CO_RETURN_IF_ERROR(CheckEnabled());
  const std::string fingerprint = Fingerprint(wanted);
  const VmSpec spec = WithDefaults(wanted, rules_.defaults);
  const Status valid = ValidateVmSpec(spec);
  CO_RETURN_IF_ERROR(WithOutcome(valid, Outcome::kRefused));
  Vm vm{.spec = spec, .overhead_bytes = rules_.overhead_bytes};
  // One that could never be started is not made.
  const int64_t needed = SaturatingAdd(spec.memory_bytes, vm.overhead_bytes);
  const int64_t allocatable =
      budget::Allocatable(node_.config_.capacity_bytes, node_.config_.reserves);
  if (needed > allocatable) {
    co_return MakeError(StatusCode::kInvalidArgument,
                        StrCat("a VM of ", FormatBytes(spec.memory_bytes), " takes ",
                               FormatBytes(needed), " with its hypervisor, and this node has ",
                               FormatBytes(allocatable), " to hand out"),
                        {.reason = "VM_TOO_LARGE",
                         .constraint = "memory_bytes",
                         .needed = StrCat(needed, " bytes"),
                         .available = StrCat(allocatable, " bytes"),
                         .outcome = Outcome::kRefused});
  }
  if (validate_only) co_return vm;
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await node_.BeginRequest(call, "CreateVm", fingerprint));
  if (earlier) {
    CO_ASSIGN_OR_RETURN(const Ptr known, Find(spec.name));
    co_return known->vm;
  }
  const RequestGuard guard([this, id = call.request_id] { node_.FinishRequest(id); });
  if (const auto it = machines_.find(spec.name); it != machines_.end()) {
    if (it->second->vm.spec == spec) co_return it->second->vm;
    co_return VmExists(it->second->vm);
  }
  auto request =
      node_.MakeRequest(call.request_id, "CreateVm", fingerprint, StrCat("vms/", spec.name));
  CO_RETURN_IF_ERROR(co_await Add(std::move(vm), call.actor, std::move(request)));
  CO_ASSIGN_OR_RETURN(const Ptr made, Find(spec.name));
  co_return made->vm;
}

Task<Status> Node::Vms::Add(Vm vm, std::string actor, store::RequestRecord request) {
  vm.uuid = RandomUuid();
  vm.created_at = node_.deps_.clock.Now();
  const VmSpec spec = vm.spec;
  const auto machine = std::make_shared<Machine>(vm, node_.deps_.strand);
  // Taken at once, so that two calls at the same time cannot both make it.
  machines_[spec.name] = machine;
  std::string text = StrCat(spec.cpus, " CPUs, ", FormatBytes(spec.memory_bytes), ", a disk of ",
                            FormatBytes(spec.disk_bytes));
  if (vm.on_demand) text = StrCat("because a sandbox needs one: ", text);
  const Status saved = co_await Save(machine, std::move(vm), "vm.created", std::move(text),
                                     std::move(actor), std::move(request));
  if (!saved.ok()) machines_.erase(spec.name);
  co_return saved;
}

}  // namespace claw::lifecycle
