#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/base/status.h"

namespace claw::network {

// Runs CNI plugins. Thread-safe; every call blocks until the plugin has ended.
class Cni {
 public:
  explicit Cni(std::vector<std::filesystem::path> path) : path_(std::move(path)) {}

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

  StatusOr<std::filesystem::path> Find(const std::string& plugin) const;
  // As a plugin tells it, or "unknown".
  StatusOr<std::string> Version() const;

 private:
  std::vector<std::string> Environment(const Call& call) const;

  const std::vector<std::filesystem::path> path_;
};

}  // namespace claw::network
