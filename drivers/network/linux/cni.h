#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"

namespace claw::network {

// Runs CNI plugins. Thread-safe; every call blocks until the plugin has ended.
class Cni {
 public:
  // `lock_folder`: what runs holds its lock (flock), whichever agent has started it.
  Cni(std::vector<std::filesystem::path> path, std::filesystem::path lock_folder)
      : path_(std::move(path)), lock_folder_(std::move(lock_folder)) {}

  struct Call {
    std::string command{};  // ADD, DEL
    std::string plugin{};
    std::string id{};
    std::string netns{};  // empty: it is gone
    std::string interface {};
    std::string config{};
  };
  // What it printed. NOT_FOUND, reason PROGRAM_MISSING; RESOURCE_EXHAUSTED, reason
  // ADDRESSES_EXHAUSTED; INTERNAL, reason CNI_FAILED, with its message.
  StatusOr<std::string> Run(const Call& call) const;

  // Blocks until no plugin runs: those of an agent that was killed go on without it, and would make
  // anew what is being removed. DEADLINE_EXCEEDED after a minute.
  Status AwaitAll() const;

  StatusOr<std::filesystem::path> Find(const std::string& plugin) const;
  // As a plugin tells it, or "unknown".
  StatusOr<std::string> Version() const;

 private:
  std::vector<std::string> Environment(const Call& call) const;
  StatusOr<UniqueFd> OpenLock() const;

  const std::vector<std::filesystem::path> path_;
  const std::filesystem::path lock_folder_;
};

}  // namespace claw::network
