// What can take sandboxes here: this host, and its VMs.

#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/vms.h"
#include "agent/placement/choose.h"

namespace claw::lifecycle {

placement::Occupancy& Node::HeldOn(const std::string& target) const {
  return target == kHostTarget ? here_.held : vms_->HeldOn(target);
}

void Node::Hold(const Sandbox& sandbox) const {
  HeldOn(sandbox.target).Put(sandbox);
  everywhere_.Put(sandbox);
}

void Node::LetGo(const Sandbox& sandbox) const {
  HeldOn(sandbox.target).Drop(sandbox.id);
  everywhere_.Drop(sandbox.id);
}

void Node::Adopt(const std::shared_ptr<Entry>& entry) {
  const Sandbox& record = entry->record;
  sandboxes_[record.id] = entry;
  if (!record.spec.display_name.empty()) names_[record.spec.display_name] = record.id;
  Hold(record);
}

void Node::SetRecord(Entry& entry, Sandbox record) {
  entry.record = std::move(record);
  if (!entry.removed) Hold(entry.record);
}

void Node::Forget(const std::shared_ptr<Entry>& entry) {
  const Sandbox& record = entry->record;
  entry->removed = true;
  LetGo(record);
  const auto name = names_.find(record.spec.display_name);
  if (name != names_.end() && name->second == record.id) names_.erase(name);
  EndLease(*entry);
  sandboxes_.erase(record.id);
  entry->changed.NotifyAll();
}

drivers::Driver* Node::DriverFor(const Sandbox& sandbox) const {
  if (const std::string vm = VmOf(sandbox); !vm.empty()) {
    return vms_->DriverFor(vm, sandbox.driver);
  }
  for (const DriverState& state : drivers_) {
    if (state.driver->name() == sandbox.driver) return state.driver;
  }
  return nullptr;
}

BlockingPool& Node::PoolFor(const Sandbox& sandbox) const {
  return VmOf(sandbox).empty() || deps_.guest_pool == nullptr ? deps_.pool : *deps_.guest_pool;
}

std::vector<const placement::Target*> Node::Targets() const {
  std::vector<const placement::Target*> targets = vms_->Targets();
  // A host of VMs alone has no drivers.
  if (!drivers_.empty() || targets.empty()) targets.insert(targets.begin(), &Here());
  return targets;
}

StatusOr<const placement::Target*> Node::FindTarget(const std::string& name) const {
  for (const placement::Target* target : Targets()) {
    if (target->name == name) return target;
  }
  return MakeError(StatusCode::kFailedPrecondition, StrCat("there is no target ", name),
                   {.reason = "NO_TARGET", .constraint = "target", .needed = name});
}

StatusOr<std::vector<placement::Explanation>> Node::Explain(const SandboxSpec& spec,
                                                            const std::string& reserved) const {
  const std::shared_ptr<Entry> entry = reserved.empty() ? nullptr : Find(reserved);
  if (entry == nullptr) RETURN_IF_ERROR(CheckName(spec));
  ASSIGN_OR_RETURN(const Tenant tenant, GetTenant(spec.tenant));
  const std::string& image = entry == nullptr ? spec.image : entry->record.image_digest;
  ASSIGN_OR_RETURN(const std::vector<Image> variants, FindVariants(image));
  for (const Image& variant : variants) RETURN_IF_ERROR(CheckProgram(spec, variant));
  const placement::Demand demand = DemandFor(tenant, variants, spec);
  placement::Examiner examiner(demand, PlacementSettings());
  // Its place is its own.
  if (entry != nullptr) LetGo(entry->record);
  std::vector<placement::Explanation> explained;
  for (const placement::Target* target : Targets()) {
    if (entry != nullptr && target->name != entry->record.target) continue;
    explained.push_back(examiner.Explain(*target));
  }
  if (entry != nullptr) Hold(entry->record);
  placement::SortByPreference(explained);
  return explained;
}

}  // namespace claw::lifecycle
