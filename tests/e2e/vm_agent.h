#pragma once

// An agent whose guests are those of tools/guest-image, under emulation.

#include <csignal>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/host/process.h"
#include "tests/e2e/agent.h"

namespace claw::test {

using Json = nlohmann::json;

constexpr auto kBoot = std::chrono::seconds(300);
constexpr int64_t kGuestMemory = 768 * kMiB;

class VmAgent : public Agent {
 public:
  // `vm` is the name of the VM that the test is about; `more` goes to the end of the config.
  explicit VmAgent(std::string vm, const std::string& more = "")
      : Agent({.config = StrCat("[vm]\nenabled = true\nimage = \"", CLAW_SOURCE_DIR,
                                "/build/guest-image\"\nmemory = \"768Mi\"\nstart_seconds = 240\n",
                                more)}),
        vm_(std::move(vm)) {}
  ~VmAgent() {
    if (!running()) Start();
    Ctl({"vm", "rm", vm_, "--force"});
    CHECK(Qemus().empty());
  }

  CommandResult Long(std::vector<std::string> args) const {
    args.insert(args.begin(), {"vm"});
    args.insert(args.end(), {"--timeout", "0"});
    return Ctl(std::move(args), "", kBoot);
  }
  Json Show() const {
    const CommandResult shown = Ctl({"vm", "inspect", vm_, "-o", "json"});
    INFO(shown.err);
    REQUIRE(shown.exit_code == 0);
    return Json::parse(shown.out);
  }
  std::string State() const { return Show().value("state", ""); }
  // Until it is so; a test that never sees it times out.
  Json Await(const std::function<bool(const Json&)>& seen) const {
    Json vm = Show();
    while (!seen(vm)) vm = Show();
    return vm;
  }
  int64_t Charged() const {
    const Json status = Json::parse(Must({"status", "-o", "json"}));
    return std::stoll(status.at("memory").value("charged_bytes", "0"));
  }
  // The processes that run guests of this agent.
  std::vector<int64_t> Qemus() const {
    std::vector<int64_t> found;
    const std::vector<std::string> names = ListDirectory("/proc").value();
    for (const std::string& name : names) {
      int64_t pid = 0;
      if (!ParseInt(name, &pid)) continue;
      for (const std::string& word : host::CommandLine(static_cast<pid_t>(pid))) {
        if (word.find((state_dir() / "vms").string()) == std::string::npos) continue;
        found.push_back(pid);
        break;
      }
    }
    return found;
  }

 private:
  const std::string vm_;
};

}  // namespace claw::test
