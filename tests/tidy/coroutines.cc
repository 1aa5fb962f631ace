#include "tests/tidy/coroutines.h"

#include <algorithm>
#include <regex>

#include "agent/base/strings.h"

namespace claw::tidy {
namespace {

// The same text with the insides of string literals blanked out, so that their brackets do not
// count.
std::string WithoutStrings(std::string text) {
  bool inside = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (inside && text[i] == '\\' && i + 1 < text.size()) {
      text[i] = text[i + 1] = ' ';
      ++i;
    } else if (text[i] == '"' && (i == 0 || text[i - 1] != '\'')) {
      inside = !inside;
    } else if (text[i] == '\n') {
      inside = false;  // no literal goes over the end of a line; a raw one is not taken for one
    } else if (inside) {
      text[i] = ' ';
    }
  }
  return text;
}

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

// Whether braces stand before it among the arguments of the same call. Those of a block are behind
// no bracket that is still open.
bool BracesBefore(std::string_view text, size_t at) {
  bool braces = false;
  int depth = 0;
  for (size_t i = at; i-- > 0;) {
    const char c = text[i];
    if (c == ')' || c == ']' || c == '}') ++depth;
    if (c == '{' && depth == 1) braces = true;
    if (c == '(' || c == '[' || c == '{') --depth;
    if (depth < 0) return c == '(' && braces;
    if (depth == 0 && c == ';') return false;
  }
  return false;
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
  const std::string blanked = WithoutStrings(file.text);
  const std::string_view text = blanked;
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
    } else if (awaited.find('{') != awaited.npos || BracesBefore(text, at)) {
      add("a temporary in braces beside co_await");
    }
  }
  return findings;
}

}  // namespace claw::tidy
