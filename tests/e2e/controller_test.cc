#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "tests/e2e/agent.h"

namespace claw::test {
namespace {

namespace fs = std::filesystem;

struct Pipe {
  Pipe() {
    int ends[2] = {};
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    out = UniqueFd(ends[0]);
    in = UniqueFd(ends[1]);
  }
  UniqueFd out;
  UniqueFd in;
};

// What protoc makes of the API for Python.
void MakeStubs(const fs::path& folder) {
  fs::create_directories(folder);
  ProcessSpec spec;
  spec.argv = {
      "protoc", StrCat("--proto_path=", CLAW_SOURCE_DIR, "/proto"),
      StrCat("--python_out=", folder.string()), StrCat("--grpc_python_out=", folder.string()),
      StrCat("--plugin=protoc-gen-grpc_python=", FindProgram("grpc_python_plugin").value())};
  for (const char* file : {"common", "node", "sandbox", "network", "placement"}) {
    spec.argv.push_back(StrCat("claw/node/v1/", file, ".proto"));
  }
  spec.working_directory = fs::path(CLAW_SOURCE_DIR) / "proto";
  const auto made = RunOrError(spec);
  INFO(ToLogString(made.status()));
  REQUIRE(made.ok());
}

class Controller {
 public:
  Controller(const fs::path& socket, const fs::path& stubs, const fs::path& errors) {
    const UniqueFd log(::open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    ProcessSpec spec;
    spec.argv = {"/usr/bin/python3", CLAW_SOURCE_DIR "/tests/e2e/fleet_controller.py",
                 socket.string(), stubs.string()};
    spec.descriptors = {{input_.out.get(), 0}, {output_.in.get(), 1}, {log.get(), 2}};
    auto started = Spawn(spec);
    REQUIRE(started.ok());
    process_ = *std::move(started);
    output_.in = UniqueFd();
  }
  ~Controller() {
    process_.Signal(SIGKILL).IgnoreError();
    process_.Wait().IgnoreError();
  }
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  // What it says next; empty: it has ended.
  std::string NextLine() {
    std::string line;
    for (char c = 0; ::read(output_.out.get(), &c, 1) == 1 && c != '\n';) line += c;
    return line;
  }
  void Say(const std::string& line) {
    REQUIRE(::write(input_.in.get(), line.data(), line.size()) ==
            static_cast<ssize_t>(line.size()));
  }

 private:
  Pipe input_;
  Pipe output_;
  Process process_;
};

TEST_CASE("a controller in another language places sandboxes and survives the agent", "[e2e]") {
  Agent agent;
  agent.Furnish();
  const fs::path stubs = agent.dir() / "stubs";
  MakeStubs(stubs);
  const fs::path errors = agent.dir() / "controller.log";
  Controller controller(agent.dir() / "run/clawlet.sock", stubs, errors);
  int restarts = 0;
  std::string said = controller.NextLine();
  for (; said == "restart"; said = controller.NextLine()) {
    agent.Kill9();
    agent.Start();
    ++restarts;
    controller.Say("restarted\n");
  }
  INFO(ReadFile(errors).value_or(""));
  CHECK(said == "done");
  CHECK(restarts == 2);
  // Places that are held are shown with what runs, and go with it.
  CHECK(agent.Must({"ps", "-a", "-q"}).size() > 8);
}

}  // namespace
}  // namespace claw::test
