#include "tools/clawctl/progress.h"

#include "tools/clawctl/format.h"

namespace claw::ctl {

Progress::~Progress() {
  if (drawn_) context_.Err("\r\033[K");
}

void Progress::Show(std::string_view step) {
  if (quiet_ || step.empty()) return;
  const std::string line = EscapeControls(step);
  if (terminal_) {
    context_.Err("\r\033[K" + line);
    drawn_ = true;
  } else if (line != last_) {
    context_.Err(line + "\n");
    last_ = line;
  }
}

VmProgress::VmProgress(Context& context, bool quiet)
    : progress_(context, quiet),
      tail_(context.client(), std::chrono::seconds(1), [this](const pb::Event& event) {
        if (event.subject().starts_with("vms/")) {
          progress_.Show(StrCat(event.subject(), ": ", event.message()));
        }
      }) {}

std::string StepOf(const pb::ImageProgress& progress) {
  if (progress.message().empty()) return progress.phase();
  return StrCat(progress.phase(), ": ", progress.message());
}

}  // namespace claw::ctl
