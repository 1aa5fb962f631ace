#pragma once

#include <string_view>

namespace claw::ctl {

// Reasons of errors that are made here, not by the agent.
constexpr std::string_view kReasonUnreachable = "AGENT_UNREACHABLE";
constexpr std::string_view kReasonUsage = "USAGE";

// Payload of an error: the serialised Explanation that a refused placement came with.
constexpr char kExplanationPayload[] = "type.googleapis.com/claw.node.v1.Explanation";

}  // namespace claw::ctl
