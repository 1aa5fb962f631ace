#include "tests/tidy/rules.h"

#include <catch2/catch.hpp>

#include "agent/base/strings.h"

namespace claw::tidy {
namespace {

bool Allowed(const std::string& path, const std::string& include) {
  return CheckIncludes({path, StrCat("#include ", include, "\n")}).empty();
}

bool Clean(const std::string& path, const std::string& text) {
  const std::string head = path.ends_with(".h") ? "#pragma once\n" : "";
  return CheckText({path, StrCat(head, text)}).empty();
}

TEST_CASE("includes point downwards only") {
  const std::tuple<const char*, const char*, bool> cases[] = {
      {"agent/base/a.cc", "\"agent/base/status.h\"", true},
      {"agent/base/a.cc", "\"agent/model/sandbox.h\"", false},
      {"agent/model/a.cc", "\"agent/base/status.h\"", true},
      {"agent/model/a.cc", "\"agent/policy/isolation.h\"", false},
      {"agent/policy/a.cc", "\"agent/model/tenant.h\"", true},
      {"agent/policy/a.cc", "\"agent/budget/ledger.h\"", false},
      {"agent/host/linux/a.cc", "\"agent/model/sandbox.h\"", true},
      {"agent/host/a.cc", "\"drivers/driver.h\"", false},
      {"store/a.cc", "\"agent/model/json.h\"", true},
      {"store/a.cc", "\"agent/lifecycle/node.h\"", false},
      {"drivers/oci/a.cc", "\"agent/host/cgroup.h\"", true},
      {"drivers/oci/a.cc", "\"store/store.h\"", false},
      {"drivers/runc/a.cc", "\"agent/lifecycle/node.h\"", false},
      {"drivers/runc/a.cc", "\"drivers/fake/fake_driver.h\"", false},
      {"drivers/fake/a.cc", "\"drivers/driver.h\"", true},
      {"vm/a.cc", "\"drivers/driver.h\"", false},
      {"agent/lifecycle/a.cc", "\"store/store.h\"", true},
      {"agent/lifecycle/a.cc", "\"drivers/driver.h\"", true},
      {"agent/lifecycle/a.cc", "\"agent/rpc/server.h\"", false},
      {"agent/lifecycle/a.cc", "\"drivers/fake/fake_driver.h\"", false},
      {"agent/rpc/a.cc", "\"agent/lifecycle/node.h\"", true},
      {"agent/rpc/a.cc", "\"tools/clawctl/app.h\"", false},
      {"agent/main.cc", "\"agent/rpc/server.h\"", true},
      {"agent/main.cc", "\"drivers/fake/fake_driver.h\"", false},
      {"agent/config.cc", "\"drivers/gvisor/gvisor_driver.h\"", true},
      {"drivers/gvisor/starter.cc", "\"agent/base/status.h\"", false},
      {"drivers/gvisor/starter.cc", "<unistd.h>", true},
      {"tools/clawctl/a.cc", "\"agent/base/bytes.h\"", true},
      {"tools/clawctl/a.cc", "\"agent/model/sandbox.h\"", false},
      {"tests/unit/x/a.cc", "\"agent/rpc/server.h\"", true},
      {"agent/base/a.cc", "\"status.h\"", false},
      {"agent/base/a.cc", "\"../model/sandbox.h\"", false},
      {"stray/a.cc", "<vector>", false},
  };
  for (const auto& [path, include, allowed] : cases) {
    INFO(path << " includes " << include);
    CHECK(Allowed(path, include) == allowed);
  }
}

TEST_CASE("the protocol is seen by the API and its client only") {
  for (const char* header :
       {"\"claw/node/v1/sandbox.pb.h\"", "<grpcpp/grpcpp.h>", "<google/protobuf/message.h>"}) {
    INFO(header);
    for (const char* path : {"agent/rpc/a.cc", "tools/clawctl/a.cc", "tests/e2e/a.cc"}) {
      CHECK(Allowed(path, header));
    }
    for (const char* path : {"agent/base/a.cc", "agent/model/a.cc", "agent/lifecycle/a.cc",
                             "drivers/oci/a.cc", "store/a.cc"}) {
      CHECK_FALSE(Allowed(path, header));
    }
  }
}

TEST_CASE("pure folders see no I/O, no clock, no chance") {
  for (const char* header : {"<fstream>", "<unistd.h>", "<sys/stat.h>", "<thread>", "<random>",
                             "\"agent/base/clock.h\"", "\"agent/base/file.h\""}) {
    INFO(header);
    for (const char* path : {"agent/policy/a.cc", "agent/budget/a.h", "agent/placement/a.cc"}) {
      CHECK_FALSE(Allowed(path, header));
    }
  }
  for (const char* header : {"<vector>", "<chrono>", "<absl/status/status.h>",
                             "\"agent/base/bytes.h\"", "\"agent/model/resources.h\""}) {
    CHECK(Allowed("agent/budget/a.cc", header));
  }
  CHECK_FALSE(Clean("agent/budget/a.cc", "auto t = std::chrono::steady_clock::now();\n"));
  CHECK(Clean("agent/host/a.cc", "auto t = std::chrono::steady_clock::now();\n"));
}

TEST_CASE("Linux-only headers stay where Linux is") {
  for (const char* header : {"<sys/epoll.h>", "<linux/openat2.h>", "<sys/inotify.h>"}) {
    CHECK(Allowed("agent/host/linux/a.cc", header));
    CHECK(Allowed("drivers/oci/a.cc", header));
    CHECK_FALSE(Allowed("agent/host/a.h", header));
    CHECK_FALSE(Allowed("agent/rpc/a.cc", header));
    CHECK_FALSE(Allowed("tools/clawctl/a.cc", header));
  }
  CHECK(Allowed("agent/base/linux/spawn.cc", "<sys/syscall.h>"));
  CHECK_FALSE(Allowed("agent/base/subprocess.cc", "<sys/syscall.h>"));
}

TEST_CASE("includes are found however they are spaced") {
  CHECK_FALSE(Allowed("agent/base/a.cc", "  \"agent/model/sandbox.h\""));
  const File spaced{"agent/base/a.cc", "int a;\n #  include \"agent/model/sandbox.h\"\n"};
  REQUIRE(CheckIncludes(spaced).size() == 1);
  CHECK(CheckIncludes(spaced)[0].starts_with("agent/base/a.cc:2: base may not include model"));
}

TEST_CASE("text is tidy") {
  CHECK(Clean("a/b.cc", "int a;\n"));
  CHECK_FALSE(Clean("a/b.cc", "int a; \n"));
  CHECK_FALSE(Clean("a/b.cc", "\tint a;\n"));
  CHECK_FALSE(Clean("a/b.cc", "int a;\r\n"));
  CHECK_FALSE(Clean("a/b.cc", "int a;"));
  CHECK_FALSE(Clean("a/README.md", "text \n"));
  CHECK(CheckText({"a/b.h", "// What this is.\n\n#pragma once\n"}).empty());
  CHECK_FALSE(CheckText({"a/b.h", "int a;\n"}).empty());
}

TEST_CASE("notes to oneself are for the tracker") {
  for (const std::string word : {"TO"
                                 "DO",
                                 "FIX"
                                 "ME",
                                 "XX"
                                 "X"}) {
    CHECK_FALSE(Clean("a/b.cc", StrCat("// ", word, ": later\n")));
    CHECK_FALSE(Clean("a/CMakeLists.txt", StrCat("# ", word, "\n")));
    CHECK(Clean("a/b.cc", StrCat("int a", word, "X;\n")));  // a part of a word
  }
}

TEST_CASE("code is not kept in comments") {
  for (const char* line :
       {"// return status;", "  // Foo(bar);", "// x = 5;", "// if (a) {", "// #include <vector>",
        "// std::string s;", "// foo->bar(1, 2);", "// }", "// for (;;) {"}) {
    INFO(line);
    CHECK_FALSE(Clean("a/b.cc", StrCat(line, "\n")));
  }
  for (const char* line :
       {"// What it returns is owned by the caller; see (1).", "// A name; a digest.",
        "// If it fails (rarely), the caller tries again.", "// for a sandbox that runs;",
        "int a = 5;  // five", "// e.g. \"a=b;\""}) {
    INFO(line);
    CHECK(Clean("a/b.cc", StrCat(line, "\n")));
  }
}

TEST_CASE("a file of more than 450 lines is too long") {
  std::string text;
  for (int i = 0; i < 449; ++i) text += "int a;\n";
  CHECK(Clean("a/b.cc", text));
  text += "int a;\n";
  CHECK_FALSE(Clean("a/b.cc", text));
  CHECK(Clean("a/b.md", text + text));
}

TEST_CASE("the top of the tree is short") {
  CHECK(CheckTopLevel({".ci", "CMakeLists.txt", "README.md", "agent", "vm"}).empty());
  CHECK(CheckTopLevel({"docs", "agent", "scratch.txt"}).size() == 2);
}

TEST_CASE("each folder with sources has a README") {
  std::vector<std::string> paths;
  for (const char* folder : {"agent", "drivers", "proto", "store", "tests", "tools", "vm"}) {
    paths.push_back(StrCat(folder, "/README.md"));
  }
  CHECK(CheckReadmes(paths).empty());
  paths.insert(paths.end(), {"agent/new/a.cc", "agent/new/linux/b.cc", "tests/unit/x/c.cc"});
  CHECK(CheckReadmes(paths) == Findings{"agent/new/README.md: is missing"});
  paths.push_back("agent/new/README.md");
  CHECK(CheckReadmes(paths).empty());
  CHECK(CheckReadmes({}).size() == 7);
}

}  // namespace
}  // namespace claw::tidy
