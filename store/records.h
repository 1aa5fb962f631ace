#pragma once

// How each kind of record is kept: one .cc file for each. Put replaces, Delete of what is not there
// is OK, Load appends every record that can be read and notes the others in `bad`.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "store/connection.h"
#include "store/store.h"
#include "store/table.h"

namespace claw::store {

using BadRows = std::vector<BadRow>;

Status PutTenant(Connection& db, const Tenant& tenant);
Status DeleteTenant(Connection& db, const std::string& name);
Status LoadTenants(Connection& db, BadRows& bad, std::vector<Tenant>& tenants);

Status PutSandbox(Connection& db, const Sandbox& sandbox);
Status DeleteSandbox(Connection& db, const std::string& id);
Status LoadSandboxes(Connection& db, BadRows& bad, std::vector<Sandbox>& sandboxes);

Status PutImage(Connection& db, const Image& image);
Status DeleteImage(Connection& db, const std::string& digest);
Status LoadImages(Connection& db, BadRows& bad, std::vector<Image>& images);

Status PutVerdict(Connection& db, const CompatVerdict& verdict);
Status DeleteVerdict(Connection& db, const std::string& key);
Status LoadVerdicts(Connection& db, BadRows& bad, std::vector<CompatVerdict>& verdicts);

Status PutOverride(Connection& db, const CompatOverride& value);
Status DeleteOverride(Connection& db, const std::string& image_digest);
Status LoadOverrides(Connection& db, BadRows& bad, std::vector<CompatOverride>& overrides);

Status PutNetworkPolicy(Connection& db, const NamedNetworkPolicy& named);
Status DeleteNetworkPolicy(Connection& db, const std::string& name);
Status LoadNetworkPolicies(Connection& db, BadRows& bad, std::vector<NamedNetworkPolicy>& policies);

Status PutOverhead(Connection& db, const OverheadRecord& record);
Status DeleteOverhead(Connection& db, const std::string& key);
Status LoadOverheads(Connection& db, BadRows& bad, std::vector<OverheadRecord>& overheads);

// Adds; a row that cannot be read, which only damage since the last Load explains, is replaced.
Status AddUsage(Connection& db, const TenantUsage& more);
Status DeleteUsage(Connection& db, const std::string& tenant);
Status LoadUsages(Connection& db, BadRows& bad, std::vector<TenantUsage>& usages);

Status PutNodeState(Connection& db, const NodeState& state);
Status LoadNodeState(Connection& db, BadRows& bad, std::optional<NodeState>& state);

Status PutVm(Connection& db, const Vm& vm);
Status DeleteVm(Connection& db, const std::string& name);
Status LoadVms(Connection& db, BadRows& bad, std::vector<Vm>& vms);

Status PutRequest(Connection& db, const RequestRecord& request);
Status DeleteRequest(Connection& db, const std::string& request_id);
Status LoadRequests(Connection& db, BadRows& bad, std::vector<RequestRecord>& requests);

// ALREADY_EXISTS if an event has this revision, INVALID_ARGUMENT if the revision is not positive.
Status AppendEvent(Connection& db, const Event& event);
Status TrimEvents(Connection& db, int64_t keep);
// See Store::ReadEvents. An event that cannot be read is answered as "store.quarantined" with the
// same revision, so that nobody who follows the events is stuck at it.
StatusOr<std::vector<Event>> ReadEvents(Connection& db, const EventQuery& query);
Status CheckEvents(Connection& db, BadRows& bad);

// Numbers that outlive the events they are about.
struct Revisions {
  int64_t last = 0;       // of the newest event ever written
  int64_t compacted = 0;  // events up to this one may have been removed
};
// Reads them and makes good what is missing: with `lost` (rows or a whole database went to
// quarantine) the revision is carried on from the clock's microseconds, which no count of events
// can have reached, so that no revision is given out twice.
StatusOr<Revisions> LoadRevisions(Connection& db, bool lost, Time now);

// Named numbers in the table `meta`.
Status PutMeta(Connection& db, const std::string& key, int64_t value);
StatusOr<std::optional<int64_t>> GetMeta(Connection& db, const std::string& key);
// The same, but nothing unless the row's checksum matches. Works before the rows have been checked.
StatusOr<std::optional<int64_t>> GetSoundMeta(Connection& db, const std::string& key);
Status CheckMeta(Connection& db, BadRows& bad);

}  // namespace claw::store
