#pragma once

#include "agent/lifecycle/node.h"
#include "agent/rpc/context.h"
#include "claw/node/v1/node.pb.h"

namespace claw::rpc {

// What NodeService says about memory, without gRPC.

void SetMemory(const lifecycle::MemoryView& memory, node::v1::NodeMemory* out);

lifecycle::Task<StatusOr<node::v1::Budget>> GetBudget(const Context& context,
                                                      const node::v1::GetBudgetRequest& request);
lifecycle::Task<StatusOr<node::v1::CapacityPlan>> PlanCapacity(
    const Context& context, const node::v1::PlanCapacityRequest& request);

}  // namespace claw::rpc
