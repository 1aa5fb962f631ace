#include "tools/clawctl/words.h"

#include <utility>

namespace claw::ctl {
namespace {

class Splitter {
 public:
  explicit Splitter(std::string_view line) : line_(line) {}

  StatusOr<std::vector<std::string>> Split() {
    while (at_ < line_.size()) {
      const char c = line_[at_++];
      if (c == ' ' || c == '\t' || c == '\n') {
        EndWord();
      } else {
        in_word_ = true;
        RETURN_IF_ERROR(Take(c));
      }
    }
    EndWord();
    if (words_.empty()) return InvalidArgument("the command is empty");
    return std::move(words_);
  }

 private:
  void EndWord() {
    if (in_word_) words_.push_back(std::exchange(word_, {}));
    in_word_ = false;
  }

  Status Take(char c) {
    if (c == '\'') return Quoted();
    if (c == '"') return DoublyQuoted();
    if (c == '\\') return Escaped();
    if (std::string_view("$`|&;<>").find(c) != std::string_view::npos) return NeedsShell(c);
    word_ += c;
    return absl::OkStatus();
  }

  Status Escaped() {
    if (at_ == line_.size()) return InvalidArgument("nothing follows the last \\ in: ", line_);
    word_ += line_[at_++];
    return absl::OkStatus();
  }

  Status Quoted() {
    const size_t end = line_.find('\'', at_);
    if (end == std::string_view::npos) return InvalidArgument("a ' is not closed in: ", line_);
    word_ += line_.substr(at_, end - at_);
    at_ = end + 1;
    return absl::OkStatus();
  }

  Status DoublyQuoted() {
    while (at_ < line_.size()) {
      const char c = line_[at_++];
      if (c == '"') return absl::OkStatus();
      if (c == '$' || c == '`') return NeedsShell(c);
      const bool escapes = c == '\\' && at_ < line_.size() &&
                           std::string_view("\\\"$`").find(line_[at_]) != std::string_view::npos;
      word_ += escapes ? line_[at_++] : c;
    }
    return InvalidArgument("a \" is not closed in: ", line_);
  }

  [[nodiscard]] Status NeedsShell(char c) const {
    return InvalidArgument(
        "'", std::string(1, c),
        "' means something to a shell only; write sh -c '…', or quote it: ", line_);
  }

  const std::string_view line_;
  size_t at_ = 0;
  bool in_word_ = false;
  std::string word_;
  std::vector<std::string> words_;
};

}  // namespace

StatusOr<std::vector<std::string>> SplitWords(std::string_view line) {
  return Splitter(line).Split();
}

}  // namespace claw::ctl
