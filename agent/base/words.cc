#include "agent/base/words.h"

#include <algorithm>

#include "agent/base/strings.h"

namespace claw {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

class Splitter {
 public:
  explicit Splitter(std::string_view line) : line_(line) {}

  StatusOr<std::vector<std::string>> Run() {
    for (; at_ < line_.size(); ++at_) {
      const char c = line_[at_];
      if (IsSpace(c)) {
        EndWord();
      } else if (c == '\'') {
        RETURN_IF_ERROR(TakeSingleQuoted());
      } else if (c == '"') {
        RETURN_IF_ERROR(TakeDoubleQuoted());
      } else if (c == '\\') {
        if (++at_ == line_.size()) return InvalidArgument("the line ends in a backslash");
        Take(line_[at_]);
      } else {
        Take(c);
      }
    }
    EndWord();
    return std::move(words_);
  }

 private:
  void Take(char c) {
    word_ += c;
    in_word_ = true;
  }

  void EndWord() {
    if (in_word_) words_.push_back(std::move(word_));
    word_.clear();
    in_word_ = false;
  }

  // at_ is at the opening quote, and ends at the closing one.
  Status TakeSingleQuoted() {
    const size_t end = line_.find('\'', at_ + 1);
    if (end == std::string_view::npos) return NotClosed();
    word_ += line_.substr(at_ + 1, end - at_ - 1);
    in_word_ = true;  // '' is a word, too
    at_ = end;
    return absl::OkStatus();
  }

  Status TakeDoubleQuoted() {
    in_word_ = true;
    for (++at_; at_ < line_.size(); ++at_) {
      if (line_[at_] == '"') return absl::OkStatus();
      const bool escapes =
          line_[at_] == '\\' && at_ + 1 < line_.size() &&
          std::string_view("\"\\$`").find(line_[at_ + 1]) != std::string_view::npos;
      if (escapes) ++at_;
      word_ += line_[at_];
    }
    return NotClosed();
  }

  static Status NotClosed() { return InvalidArgument("a quote is not closed"); }

  const std::string_view line_;
  size_t at_ = 0;
  std::string word_;
  bool in_word_ = false;
  std::vector<std::string> words_;
};

}  // namespace

StatusOr<std::vector<std::string>> SplitWords(std::string_view line) {
  return Splitter(line).Run();
}

StatusOr<std::map<std::string, std::string>> ParsePairs(std::string_view text) {
  std::map<std::string, std::string> pairs;
  for (const std::string_view part : Split(text, ',', true)) {
    const std::string_view pair = Trim(part);
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string key(pair.substr(0, equals));
    if (key.empty()) return InvalidArgument("'", pair, "' has no key");
    const std::string value(pair.substr(std::min(equals + 1, pair.size())));
    if (!pairs.emplace(key, value).second) return InvalidArgument(key, " is there twice");
  }
  return pairs;
}

}  // namespace claw
