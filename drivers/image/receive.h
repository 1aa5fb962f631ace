#pragma once

#include <functional>
#include <memory>

#include "agent/base/status.h"
#include "agent/model/image.h"
#include "drivers/image/image_disk.h"
#include "drivers/image/image_store.h"
#include "drivers/image/layer_scan.h"
#include "drivers/image/sanitize.h"

namespace claw::image {

struct ReceiveLimits {
  ScanLimits scan{};
  TreeLimits tree{};
  int64_t min_free_disk_bytes = 0;
};

// ImageStore::Receive. Two that receive one image do the work twice, and the second finds it there
// in the end. `explain` adds what there is of disk to errors that lack it.
StatusOr<std::unique_ptr<Incoming>> ReceiveImage(ImageDisk& disk, const Image& image,
                                                 const ReceiveLimits& limits,
                                                 std::function<Status(const Status&)> explain);

}  // namespace claw::image
