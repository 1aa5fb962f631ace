#pragma once

// How the keys of the config file are made: one function for each kind of value. `field` is made by
// FIELD.

#include <algorithm>
#include <functional>

#include "agent/app/config_keys.h"
#include "agent/base/listen_address.h"
#include "agent/base/utf8.h"
#include "agent/base/words.h"

namespace claw::keys {

using Value = ConfigKey::Value;

inline constexpr std::string_view kTextForm = "a text of 1 to 253 printable characters";
inline constexpr std::string_view kPathForm = "an absolute path";
inline constexpr std::string_view kListenForm =
    "\"127.0.0.1:PORT\", \"[::1]:PORT\", \"unix:/PATH\", or \"\" for nowhere";
inline constexpr std::string_view kBytesForm = "an amount of bytes, as in \"512Mi\" or 536870912";
inline constexpr std::string_view kPairsForm = "\"key=value,key\", or \"\" for none";
inline constexpr size_t kMaxCheckedBytes = 8192;

inline Status WrongType(std::string_view form) { return InvalidArgument("has to be ", form); }

template <typename Field>
ConfigKey Text(std::string_view name, std::string_view help, Field field) {
  return {.name = name,
          .help = help,
          .form = kTextForm,
          .set = [field](Config& config, const Value& value) -> Status {
            const auto* text = std::get_if<std::string>(&value);
            const bool sane =
                text != nullptr && !text->empty() && text->size() <= 253 &&
                std::all_of(text->begin(), text->end(), [](char c) { return c > ' ' && c <= '~'; });
            if (!sane) return WrongType(kTextForm);
            field(config) = *text;
            return absl::OkStatus();
          },
          .show =
              [field](const Config& config) {
                const std::string& text = field(config);
                return text.empty() ? text : Quote(text);
              }};
}

template <typename Field>
ConfigKey Choice(std::string_view name, std::string_view help, std::string_view form,
                 std::vector<std::string_view> choices, Field field) {
  return {
      .name = name,
      .help = help,
      .form = form,
      .set = [field, form, choices](Config& config, const Value& value) -> Status {
        const auto* text = std::get_if<std::string>(&value);
        if (text == nullptr || std::find(choices.begin(), choices.end(), *text) == choices.end()) {
          return WrongType(form);
        }
        field(config) = *text;
        return absl::OkStatus();
      },
      .show =
          [field](const Config& config) {
            return field(config).empty() ? "" : Quote(field(config));
          }};
}

// A text that something else reads: `check` says what is wrong with it.
template <typename Field>
ConfigKey Checked(std::string_view name, std::string_view help, std::string_view form,
                  std::function<Status(const std::string&)> check, Field field) {
  return {.name = name,
          .help = help,
          .form = form,
          .set = [field, form, check](Config& config, const Value& value) -> Status {
            const auto* text = std::get_if<std::string>(&value);
            if (text == nullptr || text->size() > kMaxCheckedBytes || !IsUtf8(*text)) {
              return WrongType(form);
            }
            RETURN_IF_ERROR(check(*text));
            field(config) = *text;
            return absl::OkStatus();
          },
          .show = [field](const Config& config) { return Quote(field(config)); }};
}

// An address, or nowhere.
template <typename Field>
ConfigKey Listen(std::string_view name, std::string_view help, std::string_view form,
                 StatusOr<ListenAddress> (*parse)(std::string_view), Field field) {
  const auto check = [parse](const std::string& text) {
    return text.empty() ? absl::OkStatus() : parse(text).status();
  };
  return Checked(name, help, form, check, field);
}

// "key=value,key": labels and taints.
template <typename Field>
ConfigKey Pairs(std::string_view name, std::string_view help, Field field) {
  const auto check = [](const std::string& text) { return ParsePairs(text).status(); };
  return Checked(name, help, kPairsForm, check, field);
}

// Some of an enum's values, by their names.
template <typename Enum, typename Field>
ConfigKey Named(std::string_view name, std::string_view help, std::string_view form,
                StatusOr<Enum> (*parse)(std::string_view), std::vector<Enum> choices, Field field) {
  return {.name = name,
          .help = help,
          .form = form,
          .set = [field, form, parse, choices](Config& config, const Value& value) -> Status {
            const auto* text = std::get_if<std::string>(&value);
            if (text == nullptr) return WrongType(form);
            const StatusOr<Enum> found = parse(*text);
            if (!found.ok() || std::find(choices.begin(), choices.end(), *found) == choices.end()) {
              return WrongType(form);
            }
            field(config) = *found;
            return absl::OkStatus();
          },
          .show = [field](const Config& config) { return Quote(ToString(field(config))); }};
}

template <typename Field>
ConfigKey Path(std::string_view name, std::string_view help, Field field) {
  return {
      .name = name,
      .help = help,
      .form = kPathForm,
      .set = [field](Config& config, const Value& value) -> Status {
        const auto* text = std::get_if<std::string>(&value);
        if (text == nullptr || !text->starts_with("/") || text->find('\0') != std::string::npos) {
          return WrongType(kPathForm);
        }
        field(config) = std::filesystem::path(*text).lexically_normal();
        return absl::OkStatus();
      },
      .show =
          [field](const Config& config) {
            const std::string text = field(config).string();
            return text.empty() ? text : Quote(text);
          }};
}

// For int64_t and for std::optional of it.
inline int64_t Get(int64_t value) { return value; }
inline int64_t Get(const std::optional<int64_t>& value) { return value.value_or(-1); }

template <typename Field>
ConfigKey Bytes(std::string_view name, std::string_view help, int64_t min, Field field) {
  return {.name = name,
          .help = help,
          .form = kBytesForm,
          .set = [field, min](Config& config, const Value& value) -> Status {
            const auto* number = std::get_if<int64_t>(&value);
            const auto* text = std::get_if<std::string>(&value);
            if (number == nullptr && text == nullptr) return WrongType(kBytesForm);
            StatusOr<int64_t> bytes = number != nullptr ? *number : ParseBytes(*text);
            if (!bytes.ok()) return WrongType(kBytesForm);
            if (*bytes < min) {
              return InvalidArgument("is ", *bytes, " bytes; it has to be at least ",
                                     FormatBytes(min));
            }
            field(config) = *bytes;
            return absl::OkStatus();
          },
          .show =
              [field](const Config& config) {
                const int64_t bytes = Get(field(config));
                if (bytes < 0) return std::string();
                if (bytes % kMiB == 0 && bytes > 0) return StrCat("\"", bytes / kMiB, "Mi\"");
                return StrCat(bytes);
              }};
}

template <typename Field>
ConfigKey Number(std::string_view name, std::string_view help, int64_t min, int64_t max,
                 Field field) {
  return {.name = name,
          .help = help,
          .form = "a whole number",
          .set = [field, min, max](Config& config, const Value& value) -> Status {
            const auto* number = std::get_if<int64_t>(&value);
            if (number == nullptr) return WrongType("a whole number");
            if (*number < min || *number > max) {
              return InvalidArgument("is ", *number, "; it has to lie between ", min, " and ", max);
            }
            field(config) = *number;
            return absl::OkStatus();
          },
          .show = [field](const Config& config) { return StrCat(Get(field(config))); }};
}

template <typename Field>
ConfigKey Switch(std::string_view name, std::string_view help, Field field) {
  return {
      .name = name,
      .help = help,
      .form = "true or false",
      .set = [field](Config& config, const Value& value) -> Status {
        const bool* on = std::get_if<bool>(&value);
        if (on == nullptr) return WrongType("true or false");
        field(config) = *on;
        return absl::OkStatus();
      },
      .show =
          [field](const Config& config) { return std::string(field(config) ? "true" : "false"); }};
}

// A field of a Config, const or not.
#define FIELD(path) \
  [](auto& config) -> auto& { return config.path; }

}  // namespace claw::keys
