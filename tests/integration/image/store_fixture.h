#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "agent/base/bytes.h"
#include "drivers/image/image_store.h"
#include "tests/support/image_maker.h"
#include "tests/support/temp_dir.h"

namespace claw::image {

// A store in a folder of its own, and what tests ask of it.
class StoreFixture {
 public:
  explicit StoreFixture(Options options = {}) : options_(std::move(options)) {
    if (options_.root.empty()) options_.root = dir_.path() / "images";
    Reopen();
  }

  void Reopen() {
    auto store = ImageStore::Open(options_);
    REQUIRE(store.ok());
    store_ = *std::move(store);
  }

  ImageStore& store() { return *store_; }
  [[nodiscard]] const std::filesystem::path& root() const { return options_.root; }
  // For what a test makes beside the store.
  [[nodiscard]] std::filesystem::path work() const { return dir_.path() / "work"; }

  // From a registry on loopback.
  StatusOr<Image> Pull(const std::string& reference, const std::string& architecture = "",
                       const std::string& signer = "") {
    return store_->Pull(reference, architecture, true, signer, {});
  }
  StatusOr<Image> Import(const std::string& source, const std::string& name = "",
                         const std::string& signer = "", const std::string& architecture = "") {
    return store_->Import(source, architecture, name, signer, {});
  }
  // Writes the image as a layout and imports it.
  StatusOr<Image> ImportImage(const test::ImageSpec& image) {
    const auto layout = work() / ("layout" + std::to_string(layouts_++));
    test::WriteOciLayout(layout, image);
    return Import("oci:" + layout.string() + ":v1");
  }

  // Folders of images, whole or not, without tmp and quarantine.
  [[nodiscard]] int CountImages() const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(root())) {
      const auto name = entry.path().filename();
      if (name != "tmp" && name != "quarantine") ++count;
    }
    return count;
  }
  [[nodiscard]] bool TmpIsEmpty() const { return std::filesystem::is_empty(root() / "tmp"); }

  // A refusal must leave the store as if it had never been asked.
  void CheckNothingLeft() const {
    CHECK(CountImages() == 0);
    CHECK(TmpIsEmpty());
  }

 private:
  test::TempDir dir_;
  Options options_;
  std::unique_ptr<ImageStore> store_;
  int layouts_ = 0;
};

inline std::string ReasonOf(const Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

// A status for test output: REQUIRE_OK(image.status()) shows what went wrong.
inline std::string Shown(const Status& status) { return ToLogString(status); }

#define REQUIRE_OK(expr) REQUIRE(::claw::image::Shown(expr) == "OK")

}  // namespace claw::image
