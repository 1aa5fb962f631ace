#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"
#include "drivers/network/network.h"

namespace claw::network {

// What a crash at any moment leaves to be found: as much as Detach has to know.
struct AttachmentState {
  std::string id{};
  std::string bridge{};              // of the last try; empty: none yet
  NetworkAttachment attachment{};    // empty: not known yet
  std::vector<PortMapping> ports{};  // those that may lead to it

  bool operator==(const AttachmentState&) const = default;
};

// The folder of the attachments: ID/ with its state, hosts and resolv.conf, and
// ipam/BRIDGE/ADDRESS, which the CNI plugin host-local writes. Thread-safe for different ids.
class AttachmentFiles {
 public:
  explicit AttachmentFiles(std::filesystem::path run_dir) : run_dir_(std::move(run_dir)) {}

  Status WriteState(const AttachmentState& state) const;
  StatusOr<AttachmentState> ReadState(const std::string& id) const;  // NOT_FOUND

  NetworkFiles Files(const std::string& id) const;
  // Into the file that is there already if there is one: a sandbox has it mounted.
  static Status WriteInPlace(const std::filesystem::path& path, std::string_view text);

  Status Remove(const std::string& id) const;

  // Every id that has a folder or an address here.
  StatusOr<std::set<std::string>> Ids() const;
  // The bridges on which an id has an address.
  StatusOr<std::set<std::string>> BridgesOf(const std::string& id) const;

 private:
  template <typename Take>
  Status EachAddress(const Take& take) const;

  const std::filesystem::path run_dir_;
};

}  // namespace claw::network
