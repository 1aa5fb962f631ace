#include "agent/model/json.h"
#include "store/records.h"

namespace claw::store {
namespace {

constexpr Table kOverrides{.name = "overrides", .key = "image_digest"};

}  // namespace

Status PutOverride(Connection& db, const CompatOverride& value) {
  return PutRow(db, kOverrides, value.image_digest, ToJson(value));
}

Status DeleteOverride(Connection& db, const std::string& image_digest) {
  return DeleteRow(db, kOverrides, image_digest);
}

Status LoadOverrides(Connection& db, BadRows& bad, std::vector<CompatOverride>& overrides) {
  return LoadRows(db, kOverrides, bad,
                  [&](const std::string& key, const std::string& body) -> Status {
                    ASSIGN_OR_RETURN(CompatOverride value, CompatOverrideFromJson(body));
                    if (value.image_digest != key) {
                      return DataLoss("the record is about another image");
                    }
                    overrides.push_back(std::move(value));
                    return absl::OkStatus();
                  });
}

}  // namespace claw::store
