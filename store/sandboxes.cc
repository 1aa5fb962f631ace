#include "agent/model/json.h"
#include "store/records.h"

namespace claw::store {
namespace {

constexpr Table kSandboxes{.name = "sandboxes", .key = "id"};

}  // namespace

Status PutSandbox(Connection& db, const Sandbox& sandbox) {
  return PutRow(db, kSandboxes, sandbox.id, ToJson(sandbox));
}

Status DeleteSandbox(Connection& db, const std::string& id) {
  return DeleteRow(db, kSandboxes, id);
}

Status LoadSandboxes(Connection& db, BadRows& bad, std::vector<Sandbox>& sandboxes) {
  return LoadRows(db, kSandboxes, bad,
                  [&](const std::string& key, const std::string& body) -> Status {
                    ASSIGN_OR_RETURN(Sandbox sandbox, SandboxFromJson(body));
                    if (sandbox.id != key) return DataLoss("the record names another sandbox");
                    sandboxes.push_back(std::move(sandbox));
                    return absl::OkStatus();
                  });
}

}  // namespace claw::store
