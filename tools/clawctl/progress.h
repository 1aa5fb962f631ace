#pragma once

#include <string>
#include <string_view>

#include "tools/clawctl/context.h"

namespace claw::ctl {

// Shows on standard error how far something is: one line that changes on a terminal, a line for
// each new step elsewhere. The line is gone from the terminal when the object is.
class Progress {
 public:
  Progress(const Context& context, bool quiet)
      : context_(context), quiet_(quiet), terminal_(context.ErrIsTerminal()) {}
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Show(std::string_view step);

 private:
  const Context& context_;
  const bool quiet_;
  const bool terminal_;
  bool drawn_ = false;
  std::string last_;
};

// What happens to VMs while a sandbox is placed, once that takes longer than people like to wait
// without a word: one may have to come first.
class VmProgress {
 public:
  VmProgress(Context& context, bool quiet);

 private:
  Progress progress_;
  Client::Tail tail_;
};

// "fetching: layer 2 of 5"
std::string StepOf(const pb::ImageProgress& progress);

}  // namespace claw::ctl
