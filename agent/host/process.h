#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"
#include "agent/model/sandbox.h"

namespace claw::host {

// The identity of a living process. NOT_FOUND if there is none with this pid, or it is a zombie.
StatusOr<ProcessIdentity> IdentifyProcess(pid_t pid, const std::string& boot_id);

// Whether exactly this process still lives (a zombie does not). A pid of another boot never does.
bool IsAlive(const ProcessIdentity& process, const std::string& boot_id);

// A descriptor that stays with this very process; NOT_FOUND if it is gone or the pid has been
// reused.
StatusOr<UniqueFd> OpenProcess(const ProcessIdentity& process, const std::string& boot_id);

// /proc/PID/cmdline as separate words; empty for a kernel thread or a process that is gone.
std::vector<std::string> CommandLine(pid_t pid);

// Where /proc/PID/exe points, or empty.
std::string Executable(pid_t pid);

// A field of /proc/PID/status ("Seccomp", "NoNewPrivs", "CapEff"), trimmed; NOT_FOUND.
StatusOr<std::string> StatusField(pid_t pid, std::string_view field);

// What would be free if the process ended: memory that it shares with nobody, and its page tables.
// Walks its address space, some 50 us for a small one. NOT_FOUND if it is gone.
StatusOr<int64_t> PrivateBytes(const ProcessIdentity& process);

// The inode of /proc/PID/ns/NAME; NOT_FOUND if the process is gone.
StatusOr<ino_t> NamespaceId(pid_t pid, const std::string& name);

}  // namespace claw::host
