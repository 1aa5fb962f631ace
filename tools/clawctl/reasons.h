#pragma once

#include <string_view>

namespace claw::ctl {

// Reasons of errors that are made here, not by the agent.
constexpr std::string_view kReasonUnreachable = "AGENT_UNREACHABLE";
constexpr std::string_view kReasonUsage = "USAGE";

}  // namespace claw::ctl
