#include "tests/tidy/coroutines.h"

#include <algorithm>
#include <regex>

#include "agent/base/strings.h"

namespace claw::tidy {
namespace {

// From a co_await to the semicolon that ends its statement, or to the bracket that closes around
// it.
std::string_view Awaited(std::string_view text) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '(' || c == '[' || c == '{') ++depth;
    if (c == ')' || c == ']' || c == '}') --depth;
    if (depth < 0 || (depth == 0 && c == ';')) return text.substr(0, i);
  }
  return text;
}

// What stands before it in the same statement.
std::string_view Before(std::string_view text, size_t at) {
  const size_t begin = text.find_last_of(";{}", at);
  return text.substr(begin + 1, at - begin - 1);
}

bool InCondition(std::string_view before) {
  const std::string_view trimmed = Trim(before);
  if (!trimmed.starts_with("if (") && !trimmed.starts_with("while (")) return false;
  return std::count(trimmed.begin(), trimmed.end(), '(') ==
         std::count(trimmed.begin(), trimmed.end(), ')') + 1;
}

}  // namespace

Findings CheckCoroutines(const File& file) {
  static constexpr std::string_view kAwait = "co_await ";
  const std::regex closure(R"([(,]\s*\[[^\]]*\]\s*(\([^)]*\)\s*)?(->[^{]*)?\{)");
  Findings findings;
  const std::string_view text = file.text;
  for (size_t at = text.find(kAwait); at != text.npos; at = text.find(kAwait, at + 1)) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n');
    const size_t line_begin = text.rfind('\n', at) + 1;
    if (text.substr(line_begin, at - line_begin).find("//") != text.npos) continue;
    const std::string_view before = Before(text, at);
    const std::string_view awaited = Awaited(text.substr(at));
    const auto add = [&](std::string_view what) {
      findings.push_back(StrCat(file.path, ":", line, ": ", what));
    };
    const bool beside = before.find("&&") != before.npos || before.find("||") != before.npos;
    // "if (a && b) co_await …" is fine: its condition is closed.
    const bool open = std::count(before.begin(), before.end(), '(') >
                      std::count(before.begin(), before.end(), ')');
    if (InCondition(before) || (beside && open)) {
      add("co_await in a condition");
    }
    if (std::regex_search(awaited.begin(), awaited.end(), closure)) {
      add("a closure among the arguments of co_await");
    }
  }
  return findings;
}

}  // namespace claw::tidy
