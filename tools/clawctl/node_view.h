#pragma once

#include <google/protobuf/map.h>

#include <string>

#include "tools/clawctl/client.h"
#include "tools/clawctl/context.h"

namespace claw::ctl {

// "disk=ssd,zone=a", by key; empty for none.
std::string LabelsText(const google::protobuf::Map<std::string, std::string>& labels);

// "by unix:root(0), 3m12s ago: new disks", or "no" without one.
std::string CordonText(const Context& context, bool has_cordon, const pb::Cordon& cordon);

// How many run, what they are charged, and how their guests feel; empty: there are none.
std::string VmsText(const pb::ListVmsResponse& vms);

// "2d4h" until then, or "expired".
std::string TimeLeft(const Context& context, const google::protobuf::Timestamp& time);

}  // namespace claw::ctl
