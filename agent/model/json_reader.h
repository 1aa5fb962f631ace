#pragma once

// How records are read: what is missing keeps its default, what is there has to be of the right
// kind. Only for the json*.cc of this folder.

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/base/strings.h"

namespace claw::json {

using Json = nlohmann::json;

inline std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Reads a value if it is there. The wrong type throws; Parse below turns that into a Status.
template <typename T>
void Get(const Json& json, const char* key, T& into) {
  if (!json.is_object()) throw std::invalid_argument(StrCat("'", key, "' is not in an object"));
  const auto it = json.find(key);
  if (it == json.end()) return;
  // The library would cut a fraction off and wrap what is too large.
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    const bool fits = it->is_number_unsigned() ? std::in_range<T>(it->template get<uint64_t>())
                                               : it->is_number_integer() &&
                                                     std::in_range<T>(it->template get<int64_t>());
    if (!fits) throw std::invalid_argument(StrCat("'", key, "' is not a number that fits"));
  }
  it->get_to(into);
}

inline void GetTime(const Json& json, const char* key, Time& into) {
  int64_t micros = 0;
  Get(json, key, micros);
  into = FromMicros(micros);
}

// An enum by its name, parsed by `parse`.
template <typename T, typename Parse>
void GetEnum(const Json& json, const char* key, T& into, Parse parse) {
  const auto it = json.find(key);
  if (it == json.end()) return;
  StatusOr<T> value = parse(it->template get<std::string>());
  if (!value.ok()) throw std::invalid_argument(std::string(value.status().message()));
  into = *value;
}

template <typename T, typename Read>
StatusOr<T> Parse(std::string_view what, std::string_view text, Read read) {
  try {
    const Json json = Json::parse(text);
    if (!json.is_object()) return DataLoss(what, " record is not a JSON object");
    T value;
    read(json, value);
    return value;
  } catch (const std::exception& error) {
    return DataLoss(what, " record cannot be read: ", error.what());
  }
}

}  // namespace claw::json
