#pragma once

// One transaction of nftables, as text. Pure.

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/strings.h"

namespace claw::network {

// Puts what is to be done in an order that nftables takes: elements go before what they point to,
// and come after it.
class Script {
 public:
  // `set` is "inet clawlet from4".
  void TakeElement(const std::string& set, std::string element) {
    take_[set].push_back(std::move(element));
  }
  void PutElement(const std::string& set, std::string element) {
    put_[set].push_back(std::move(element));
  }
  template <typename... Parts>
  void Make(const Parts&... parts) {
    make_ += StrCat(parts..., "\n");
  }
  template <typename... Parts>
  void Drop(const Parts&... parts) {
    drop_ += StrCat(parts..., "\n");
  }

  [[nodiscard]] std::string Text() const {
    std::string text;
    AddElements("delete", take_, text);
    text += make_;
    AddElements("add", put_, text);
    return text + drop_;
  }

 private:
  using Elements = std::map<std::string, std::vector<std::string>>;

  static void AddElements(std::string_view verb, const Elements& elements, std::string& text) {
    for (const auto& [set, members] : elements) {
      text += StrCat(verb, " element ", set, " { ", Join(members, ", "), " }\n");
    }
  }

  Elements take_;
  std::string make_;
  Elements put_;
  std::string drop_;
};

}  // namespace claw::network
