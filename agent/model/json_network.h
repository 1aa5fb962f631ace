#pragma once

// The parts of records that are about the network. Only for the json*.cc of this folder.

#include "agent/model/json_reader.h"
#include "agent/model/network.h"

namespace claw::json {

Json ToJsonValue(const NetworkSpec& spec);
Json ToJsonValue(const NetworkAttachment& attachment);

// What does not read throws, as with Get.
void Read(const Json& json, NetworkSpec& spec);
void Read(const Json& json, NetworkAttachment& attachment);

}  // namespace claw::json
