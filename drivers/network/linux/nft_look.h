#pragma once

#include <memory>
#include <string>

#include "agent/base/status.h"
#include "drivers/network/frame.h"
#include "drivers/network/linux/netlink_reader.h"
#include "drivers/network/ruleset.h"

namespace claw::network {

// Asks the kernel for single objects. libnftables reads whole tables for the same answers: at 4,000
// sandboxes that takes 400 ms, this microseconds. Of the network namespace of the thread that made
// it; one thread at a time.
class NftLook {
 public:
  static StatusOr<NftLook> Open(std::string table);

  // FAILED_PRECONDITION, reason NOT_PROTECTED, for what is not there or not as it should be.
  Status CheckHook(const Hook& hook);
  Status CheckElement(const Wanted& wanted);

 private:
  NftLook(std::string table, std::unique_ptr<NetlinkReader> reader)
      : table_(std::move(table)), reader_(std::move(reader)) {}

  std::string table_;
  std::unique_ptr<NetlinkReader> reader_;
};

}  // namespace claw::network
