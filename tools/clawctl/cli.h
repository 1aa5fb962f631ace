#pragma once

// Small additions to CLI11 that the commands share.

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "tools/clawctl/context.h"

namespace claw::ctl {

// A command with its one-line description and at least one example.
CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& description,
                     const std::string& example);

// A command that only holds others.
CLI::App* AddGroup(CLI::App& parent, const std::string& name, const std::string& description,
                   const std::string& example);

// What the command does once the line has been parsed; an error is reported with its exit code.
void SetAction(CLI::App* command, Context& context, std::function<Status()> action);
// The same for commands that answer an exit code of their own.
void SetCodeAction(CLI::App* command, Context& context, std::function<int()> action);

// An option whose value is a duration; a wrong one is a usage error. `fallback` is shown in --help.
CLI::Option* AddDuration(CLI::App& command, const std::string& name,
                         std::optional<std::chrono::milliseconds>& target,
                         const std::string& description, const std::string& fallback);

// An option whose value is an amount of bytes, "256Mi"; a wrong one is a usage error.
CLI::Option* AddBytes(CLI::App& command, const std::string& name,
                      std::function<void(int64_t bytes)> set, const std::string& description);

// Turns an error into the exception that CLI11 reports as a usage error.
void ThrowIfError(const std::string& option, const Status& status);

// An option that may be given more than once, with one value each time.
CLI::Option* AddRepeated(CLI::App& command, const std::string& name,
                         std::vector<std::string>& target, const std::string& description);

// NAME=VALUE with a name.
CLI::Validator PairCheck();

// The words behind "--" or an error that says how to write them.
StatusOr<std::vector<std::string>> RequireProgram(const Context& context, const std::string& usage);

}  // namespace claw::ctl
