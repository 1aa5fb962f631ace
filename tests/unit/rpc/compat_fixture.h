#pragma once

#include <cerrno>

#include "tests/unit/rpc/service_fixture.h"

namespace claw::test {

inline bool Lacks(const drivers::FakeProcess& process, std::string_view call) {
  return process.driver() == "gvisor" || process.Refused(call) != 0;
}

// Goes on until it is ended.
inline Status RunsOn(const std::shared_ptr<drivers::FakeProcess>& /*process*/) {
  return absl::OkStatus();
}

// Programs that use pidfd_open and kcmp, which gVisor lacks and refuses here.
inline Status NeedsPidfd(const std::shared_ptr<drivers::FakeProcess>& process) {
  process->Write("hello\n");
  process->Exit(Lacks(*process, "pidfd_open") ? 1 : 0);
  return absl::OkStatus();
}

inline Status Copes(const std::shared_ptr<drivers::FakeProcess>& process) {
  process->Write("hello\n");
  process->Exit(0);
  return absl::OkStatus();
}

inline SyscallReport BothFail(const drivers::LaunchSpec& /*spec*/) {
  SyscallReport report;
  report.calls = {{.name = "kcmp", .error_number = EPERM, .count = 1},
                  {.name = "pidfd_open", .error_number = ENOSYS, .count = 2},
                  {.name = "rseq", .error_number = ENOSYS, .count = 1}};
  return report;
}

// A node with an image that nobody has tested, and what tests of it need.
class CompatFixture : public ServiceFixture {
 public:
  explicit CompatFixture(lifecycle::NodeConfig config = {}) : ServiceFixture(std::move(config)) {
    app = PrepareUntested();
  }

  static pb::TestImageRequest TestRequest(bool baseline) {
    pb::TestImageRequest request;
    request.set_image("images/app");
    request.set_baseline(baseline);
    return request;
  }

  grpc::Status Test(const pb::TestImageRequest& request) {
    Call call;
    const auto stream = compat->TestImage(&call, request);
    pb::TestImageProgress progress;
    lines.clear();
    while (stream->Read(&progress)) lines.push_back(progress.message());
    verdict = progress.verdict();
    return stream->Finish();
  }

  pb::Override Override(grpc::Status* status, const std::string& image, int seconds,
                        pb::IsolationClass isolation = pb::ISOLATION_CLASS_GVISOR) {
    pb::CreateOverrideRequest request;
    request.set_image(image);
    request.set_isolation_class(isolation);
    request.set_reason("because");
    request.mutable_ttl()->set_seconds(seconds);
    pb::Override made;
    Call call;
    *status = compat->CreateOverride(&call, request, &made);
    return made;
  }

  int64_t Charged() { return GetNode().memory().charged_bytes(); }

  std::string app;  // the image's name, with its digest
  std::vector<std::string> lines;
  pb::Verdict verdict;
};

}  // namespace claw::test
