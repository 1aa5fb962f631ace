#include "agent/model/json.h"
#include "store/records.h"

namespace claw::store {
namespace {

constexpr Table kImages{.name = "images", .key = "digest"};

}  // namespace

Status PutImage(Connection& db, const Image& image) {
  return PutRow(db, kImages, image.digest, ToJson(image));
}

Status DeleteImage(Connection& db, const std::string& digest) {
  return DeleteRow(db, kImages, digest);
}

Status LoadImages(Connection& db, BadRows& bad, std::vector<Image>& images) {
  return LoadRows(db, kImages, bad, [&](const std::string& key, const std::string& body) -> Status {
    ASSIGN_OR_RETURN(Image image, ImageFromJson(body));
    if (image.digest != key) return DataLoss("the record names another image");
    images.push_back(std::move(image));
    return absl::OkStatus();
  });
}

}  // namespace claw::store
