#include "agent/model/json.h"
#include "store/records.h"

namespace claw::store {
namespace {

constexpr Table kVms{.name = "vms", .key = "name"};

}  // namespace

Status PutVm(Connection& db, const Vm& vm) { return PutRow(db, kVms, vm.spec.name, ToJson(vm)); }

Status DeleteVm(Connection& db, const std::string& name) { return DeleteRow(db, kVms, name); }

Status LoadVms(Connection& db, BadRows& bad, std::vector<Vm>& vms) {
  return LoadRows(db, kVms, bad, [&](const std::string& key, const std::string& body) -> Status {
    ASSIGN_OR_RETURN(Vm vm, VmFromJson(body));
    if (vm.spec.name != key) return DataLoss("the record is of another VM");
    RETURN_IF_ERROR(ValidateVmSpec(vm.spec));
    vms.push_back(std::move(vm));
    return absl::OkStatus();
  });
}

}  // namespace claw::store
