#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/unit/clawctl/fixture.h"

namespace claw::ctl::testing {
namespace {

using Catch::Matchers::Contains;
using nlohmann::json;

TEST_CASE("status shows health, memory and drivers", "[clawctl]") {
  Fixture node;
  pb::Node& record = node.state().node;
  record.set_node_id("host-1");
  record.set_ready(false);
  record.add_conditions("gvisor: runsc is not there");
  record.mutable_memory()->set_allocatable_bytes(int64_t{8} << 30);
  record.mutable_memory()->set_available_bytes(int64_t{6} << 30);
  auto& driver = *record.add_drivers();
  driver.set_name("gvisor");
  driver.set_message("runsc is not there");
  const auto table = node.Ctl({"node", "status"});
  CHECK(table.code == 0);
  CHECK_THAT(table.out, Contains("Ready:      no\n"));
  CHECK_THAT(table.out, Contains("6 GiB available of 8 GiB allocatable"));
  CHECK_THAT(table.out, Contains("gvisor  no"));
  const auto data = json::parse(node.Ctl({"node", "status", "-o", "json"}).out);
  CHECK(data["node_id"] == "host-1");
  CHECK(data["drivers"][0]["healthy"] == false);
}

TEST_CASE("tenants are added, listed, shown and removed", "[clawctl]") {
  Fixture node;
  const auto added = node.Ctl({"node", "tenant", "add", "acme"});
  CHECK(added.code == 0);
  CHECK(added.out == "NAME  TRUST      SANDBOXES  AGE\nacme  untrusted  0          3m12s\n");
  CHECK(node.Ctl({"node", "tenant", "add", "lab", "--trust", "trusted"}).code == 0);
  CHECK(node.Ctl({"node", "tenant", "add", "tenants/third"}).code == 0);
  CHECK(Lines(node.Ctl({"node", "tenant", "ls"}).out).size() == 4);
  const auto list = json::parse(node.Ctl({"node", "tenant", "ls", "-o", "json"}).out);
  REQUIRE(list["items"].size() == 3);
  CHECK(list["items"][1]["name"] == "tenants/lab");
  CHECK(list["items"][1]["trust"] == "TRUST_TRUSTED");
  CHECK(list["items"][1]["sandbox_count"] == 0);
  CHECK_THAT(node.Ctl({"node", "tenant", "show", "lab", "-o", "yaml"}).out,
             Contains("name: tenants/lab\ntrust: TRUST_TRUSTED\n"));
  CHECK(node.Ctl({"node", "tenant", "rm", "lab"}).code == 0);
  const auto gone = node.Ctl({"node", "tenant", "show", "lab"});
  CHECK(gone.code == 3);
  CHECK_THAT(gone.err, Contains("clawctl node tenant add"));
  CHECK(node.Ctl({"node", "tenant", "add", "x", "--trust", "some"}).code == 2);
}

TEST_CASE("ps lists what runs, and with -a everything", "[clawctl]") {
  Fixture node;
  auto& sandboxes = node.state().sandboxes;
  sandboxes.push_back(MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_RUNNING));
  sandboxes.push_back(MakeSandbox("aa22000000000002", "evil\033[2J", pb::SANDBOX_STATE_EXITED));
  sandboxes.back().mutable_exit()->set_exit_code(137);
  sandboxes.back().mutable_exit()->set_reason(pb::END_REASON_OOM_KILLED);
  sandboxes.push_back(MakeSandbox("bb33000000000003", "", pb::SANDBOX_STATE_RUNNING));
  sandboxes.back().mutable_spec()->set_tenant("tenants/other");

  const auto running = node.Ctl({"node", "ps"});
  CHECK(running.out ==
        "ID            NAME  TENANT  IMAGE      CLASS   STATE    EXIT  MEMORY   AGE\n"
        "aa1100000000  web   acme    busybox:1  gvisor  running  -     128 MiB  3m12s\n"
        "bb3300000000  -     other   busybox:1  gvisor  running  -     128 MiB  3m12s\n");
  const auto wide = node.Ctl({"node", "ps", "-a", "-o", "wide"}).out;
  CHECK_THAT(wide, Contains("OVERHEAD") && Contains("CGROUP-MAX") && Contains("PEAK"));
  CHECK_THAT(wide, Contains("192 MiB") && Contains("oom-killed") && Contains("evil\\x1b[2J"));
  CHECK(wide.find('\033') == std::string::npos);
  CHECK(node.Ctl({"node", "ps", "-aq"}).out ==
        "aa11000000000001\naa22000000000002\nbb33000000000003\n");
  CHECK(node.Ctl({"node", "ps", "-q", "--tenant", "other"}).out == "bb33000000000003\n");
  const auto list = json::parse(node.Ctl({"node", "ps", "-a", "-o", "json"}).out);
  REQUIRE(list["items"].size() == 3);
  CHECK(list["items"][1]["exit"]["reason"] == "END_REASON_OOM_KILLED");
  CHECK(list["items"][0]["resources"]["memory"]["workload_bytes"] == "134217728");
}

TEST_CASE("a sandbox is named by id, by the start of an id, or by its name", "[clawctl]") {
  Fixture node;
  auto& sandboxes = node.state().sandboxes;
  sandboxes.push_back(MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_RUNNING));
  sandboxes.push_back(MakeSandbox("aa22000000000002", "", pb::SANDBOX_STATE_EXITED));
  sandboxes.push_back(MakeSandbox("bb33000000000003", "aa1", pb::SANDBOX_STATE_EXITED));
  const auto name_of = [&](const std::string& typed) {
    const auto result = node.Ctl({"node", "inspect", typed, "-o", "json"});
    return result.code == 0 ? json::parse(result.out)["name"].get<std::string>() : result.err;
  };
  CHECK(name_of("aa11000000000001") == "sandboxes/aa11000000000001");
  CHECK(name_of("sandboxes/aa22000000000002") == "sandboxes/aa22000000000002");
  CHECK(name_of("web") == "sandboxes/aa11000000000001");
  CHECK(name_of("bb3") == "sandboxes/bb33000000000003");
  CHECK(name_of("aa1") == "sandboxes/bb33000000000003");  // a whole name wins over a prefix
  CHECK_THAT(name_of("aa"), Contains("several") && Contains("aa11000000000001"));
  CHECK(node.Ctl({"node", "inspect", "nobody"}).code == 3);
  CHECK(node.Ctl({"node", "inspect", "cc"}).code == 3);
  CHECK(node.Ctl({"node", "inspect", "web"}).out.starts_with("name: sandboxes/aa11000000000001\n"));
}

TEST_CASE("stop and rm take several names and go on after a failure", "[clawctl]") {
  Fixture node;
  auto& sandboxes = node.state().sandboxes;
  sandboxes.push_back(MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_RUNNING));
  sandboxes.push_back(MakeSandbox("bb22000000000002", "db", pb::SANDBOX_STATE_RUNNING));
  const auto stopped = node.Ctl({"node", "stop", "web", "nobody", "db", "--grace", "1500ms"});
  CHECK(stopped.code == 3);
  CHECK(stopped.out == "aa11000000000001\nbb22000000000002\n");
  CHECK_THAT(stopped.err, Contains("there is no sandbox"));
  REQUIRE(node.state().stops.size() == 2);
  CHECK(node.state().stops[0].grace_period().seconds() == 1);
  CHECK(node.state().stops[0].grace_period().nanos() == 500'000'000);
  CHECK_FALSE(node.state().stops[0].request_id().empty());
  CHECK(node.Ctl({"node", "rm", "web", "db", "--force"}).code == 0);
  REQUIRE(node.state().deletes.size() == 2);
  CHECK(node.state().deletes[1].force());
  CHECK(json::parse(node.Ctl({"node", "rm", "web", "-o", "json"}).out)["items"].size() == 1);
}

TEST_CASE("kill sends the signal that is meant, whatever it is called", "[clawctl]") {
  Fixture node;
  node.state().sandboxes = {MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_RUNNING)};
  CHECK(node.Ctl({"node", "kill", "web"}).out == "aa11000000000001\n");
  for (const char* name : {"HUP", "sighup", "1"}) {
    CHECK(node.Ctl({"node", "kill", "web", "-s", name}).code == 0);
  }
  REQUIRE(node.state().signals.size() == 4);
  CHECK(node.state().signals[0].signal() == 15);
  for (size_t i = 1; i < 4; ++i) CHECK(node.state().signals[i].signal() == 1);
  CHECK_FALSE(node.state().signals[0].request_id().empty());
  for (const char* name : {"NONE", "0", "65", "-1"}) {
    const auto refused = node.Ctl({"node", "kill", "web", std::string("--signal=") + name});
    CHECK(refused.code == 2);
    CHECK_THAT(refused.err, Contains("is no signal"));
  }
  CHECK(node.state().signals.size() == 4);
  CHECK(node.Ctl({"node", "kill", "nobody"}).code == 3);
}

TEST_CASE("wait prints the exit code and answers with it", "[clawctl]") {
  Fixture node;
  auto& sandboxes = node.state().sandboxes;
  sandboxes.push_back(MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_EXITED));
  sandboxes.back().mutable_exit()->set_exit_code(7);
  sandboxes.push_back(MakeSandbox("bb22000000000002", "lost", pb::SANDBOX_STATE_LOST));
  sandboxes.back().set_failure("the host went down");
  const auto ended = node.Ctl({"node", "wait", "web"});
  CHECK(ended.code == 7);
  CHECK(ended.out == "7\n");
  const auto lost = node.Ctl({"node", "wait", "lost"});
  CHECK(lost.code == 125);
  CHECK_THAT(lost.err, Contains("the host went down"));
  CHECK(node.Ctl({"node", "wait", "nobody"}).code == 125);
}

TEST_CASE("logs keep the streams apart and stamp whole lines", "[clawctl]") {
  Fixture node;
  node.state().sandboxes.push_back(
      MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_RUNNING));
  node.state().output = {MakeChunk(pb::LogChunk::STDOUT, "one\ntw", 1),
                         MakeChunk(pb::LogChunk::STDERR, "oops\n", 2),
                         MakeChunk(pb::LogChunk::STDOUT, "o\n", 3)};
  const auto logs = node.Ctl({"node", "logs", "web", "-f", "--tail", "5", "--since", "10m"});
  CHECK(logs.code == 0);
  CHECK(logs.out == "one\ntwo\n");
  CHECK(logs.err == "oops\n");
  REQUIRE(node.state().logs.size() == 1);
  CHECK(node.state().logs[0].follow());
  CHECK(node.state().logs[0].tail_lines() == 5);
  CHECK(node.state().logs[0].since_time().seconds() == 1'000'192 - 600);
  const auto stamped = node.Ctl({"node", "logs", "web", "--timestamps"});
  CHECK(stamped.out == "1970-01-01T00:00:01.000Z one\n1970-01-01T00:00:01.000Z two\n");
  CHECK(stamped.err == "1970-01-01T00:00:02.000Z oops\n");
  CHECK(node.Ctl({"node", "logs", "web", "--since", "noon"}).code == 2);
}

TEST_CASE("images are pulled, imported, listed, inspected and removed", "[clawctl]") {
  Fixture node;
  const auto image = MakeImage("abcdef0123456789", {"busybox:1", "busybox:latest"});
  node.state().images = {image, MakeImage("abff000000000000", {})};
  pb::ImageProgress fetching;
  fetching.set_phase("fetching");
  fetching.set_message("layer 1\033[2J");
  pb::ImageProgress done;
  done.set_phase("done");
  *done.mutable_image() = image;
  node.state().progress = {fetching, done};

  const auto pulled = node.Ctl({"node", "image", "pull", "reg/x:1", "--insecure"});
  CHECK(pulled.code == 0);
  CHECK(pulled.out == "sha256:abcdef0123456789\n");
  CHECK(pulled.err == "fetching: layer 1\\x1b[2J\ndone\n");
  CHECK(node.state().pulls[0].insecure());
  CHECK(node.Ctl({"node", "image", "pull", "-q", "reg/x:1"}).err.empty());

  CHECK(node.Ctl({"node", "image", "ls"}).out ==
        "NAME            DIGEST        ARCH   SIZE   USED-BY  AGE\n"
        "busybox:1       abcdef012345  amd64  4 MiB  0        3m12s\n"
        "busybox:latest  abcdef012345  amd64  4 MiB  0        3m12s\n"
        "-               abff00000000  amd64  4 MiB  0        3m12s\n");
  CHECK(json::parse(node.Ctl({"node", "image", "ls", "-o", "json"}).out)["items"].size() == 2);
  CHECK_THAT(node.Ctl({"node", "image", "inspect", "busybox:1"}).out,
             Contains("name: images/sha256:abcdef0123456789\n"));
  CHECK_THAT(node.Ctl({"node", "image", "inspect", "abff"}).out,
             Contains("sha256:abff000000000000"));
  CHECK(node.Ctl({"node", "image", "inspect", "nothing"}).code == 3);
  CHECK(node.Ctl({"node", "image", "rm", "busybox:1", "abff"}).out ==
        "busybox:1\nsha256:abff000000000000\n");
  const auto collected = node.Ctl({"node", "image", "gc", "--all", "--dry-run"});
  CHECK(collected.out == "sha256:00ff\nwould free 1.5 KiB\n");
  CHECK(node.state().collections[0].all());
  CHECK(node.state().collections[0].validate_only());
}

TEST_CASE("images come for the platforms that were asked for", "[clawctl]") {
  Fixture node;
  pb::Image arm = MakeImage("bbbb000000000000", {"app:1"});
  arm.set_architecture("arm64");
  pb::ImageProgress done;
  *done.add_images() = MakeImage("aaaa000000000000", {"app:1"});
  *done.add_images() = arm;
  *done.mutable_image() = done.images(0);
  node.state().progress = {done};
  node.state().images = {done.images(0), arm};

  const auto pulled = node.Ctl({"node", "image", "pull", "--platform", "linux/amd64", "--platform",
                                "linux/arm64", "reg/app:1"});
  CHECK(pulled.out == "sha256:aaaa000000000000\nsha256:bbbb000000000000\n");
  REQUIRE(node.state().pulls.at(0).platforms_size() == 2);
  CHECK(node.state().pulls.at(0).platforms(0) == "linux/amd64");
  CHECK(node.state().pulls.at(0).platforms(1) == "linux/arm64");
  CHECK(node.state().pulls.at(0).reference() == "reg/app:1");
  CHECK(json::parse(node.Ctl({"node", "image", "pull", "reg/app:1", "-o", "json"}).out)["items"]
            .size() == 2);
  CHECK(node.state().pulls.at(1).platforms().empty());

  const auto imported = node.Ctl({"node", "image", "import", "rootfs:/a", "--platform", "arm64"});
  CHECK(imported.code == 0);
  REQUIRE(node.state().imports.at(0).platforms_size() == 1);
  CHECK(node.state().imports.at(0).platforms(0) == "arm64");

  CHECK(node.Ctl({"node", "image", "ls"}).out ==
        "NAME   DIGEST        ARCH   SIZE   USED-BY  AGE\n"
        "app:1  aaaa00000000  amd64  4 MiB  0        3m12s\n"
        "app:1  bbbb00000000  arm64  4 MiB  0        3m12s\n");
  CHECK_THAT(node.Ctl({"node", "image", "pull", "--help"}).out,
             Contains("--platform linux/amd64 --platform linux/arm64"));
}

TEST_CASE("import guesses what a path is and makes it absolute", "[clawctl]") {
  Fixture node;
  pb::ImageProgress done;
  *done.mutable_image() = MakeImage("abcdef0123456789", {});
  node.state().progress = {done};
  const std::filesystem::path root = node.directory();
  std::filesystem::create_directories(root / "layout");
  std::ofstream(root / "layout" / "oci-layout") << "{}";
  std::filesystem::create_directories(root / "rootfs");
  std::ofstream(root / "app.tar") << "x";
  const auto source_of = [&](const std::string& typed) {
    const auto result = node.Ctl({"node", "image", "import", typed, "--name", "app:1"});
    return result.code == 0 ? node.state().imports.back().source() : std::to_string(result.code);
  };
  const std::string base = root.string();
  CHECK(source_of(base + "/layout") == "oci:" + base + "/layout");
  CHECK(source_of(base + "/layout:v1") == "oci:" + base + "/layout:v1");
  CHECK(source_of(base + "/rootfs/") == "rootfs:" + base + "/rootfs");
  CHECK(source_of(base + "/app.tar") == "docker-archive:" + base + "/app.tar");
  CHECK(source_of("oci-archive:" + base + "/x/../app.tar:t") ==
        "oci-archive:" + base + "/app.tar:t");
  CHECK(source_of("rootfs:/else/where") == "rootfs:/else/where");
  CHECK(source_of("oci:relative/dir:tag") ==
        "oci:" + (std::filesystem::current_path() / "relative/dir").string() + ":tag");
  CHECK(source_of(base + "/missing") == "3");
  CHECK(node.state().imports.back().reference() == "app:1");
}

TEST_CASE("events are listed and followed", "[clawctl]") {
  Fixture node;
  for (int i = 1; i <= 3; ++i) {
    pb::Event event;
    event.set_revision(i);
    event.set_type("sandbox.running");
    event.set_subject(i == 2 ? "node" : "sandboxes/aa");
    event.set_message("it runs\033");
    node.state().events.push_back(event);
  }
  const auto all = node.Ctl({"node", "events"});
  CHECK(Lines(all.out).size() == 4);
  CHECK_THAT(all.out, Contains("it runs\\x1b"));
  const auto some = node.Ctl(
      {"node", "events", "--subject", "sandboxes/aa", "--since-revision", "1", "-o", "json"});
  CHECK(json::parse(some.out)["items"].size() == 1);
  const auto followed = node.Ctl({"node", "events", "-f", "--since-revision", "-1", "-o", "json"});
  CHECK(node.state().watches[0].resume_revision() == -1);
  const auto lines = Lines(followed.out);
  REQUIRE(lines.size() == 3);
  CHECK(json::parse(lines[2])["revision"] == "3");
  CHECK(Lines(node.Ctl({"node", "events", "--follow"}).out).size() == 3);
}

TEST_CASE("top shows CPU use between two looks", "[clawctl]") {
  Fixture node;
  node.state().sandboxes.push_back(
      MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_RUNNING));
  pb::SandboxStats stats;
  stats.set_name("sandboxes/aa11000000000001");
  stats.set_memory_usage_bytes(int64_t{48} << 20);
  stats.set_application_bytes(int64_t{33} << 20);
  stats.set_overhead_bytes(int64_t{14} << 20);
  stats.set_page_cache_bytes(int64_t{1} << 20);
  stats.set_memory_limit_bytes(int64_t{192} << 20);
  stats.set_pids(9);
  node.state().stats.push_back(stats);
  const auto table = node.Ctl({"node", "top", "--once", "--interval", "1ms"});
  CHECK(table.code == 0);
  CHECK(table.out ==
        "ID            NAME  TENANT  CLASS   CPU%  MEMORY  APP     OVERHEAD  LIMIT    MEM%  TASKS\n"
        "aa1100000000  web   acme    gvisor  50.0  48 MiB  33 MiB  14 MiB    192 MiB  25    9\n");
  const auto data = node.Ctl({"node", "top", "--once", "--interval", "1ms", "-o", "json"});
  CHECK(json::parse(data.out)["items"][0]["pids"] == "9");
}

TEST_CASE("version names client and agent", "[clawctl]") {
  Fixture node;
  node.state().node.set_agent_version("9.8.7");
  const auto version = json::parse(node.Ctl({"node", "version", "-o", "json"}).out);
  CHECK(version["agent_version"] == "9.8.7");
  CHECK_FALSE(version["client_version"].get<std::string>().empty());
  CHECK(node.Ctl({"--version"}).out.starts_with("clawctl "));
  node.StopAgent();
  const auto alone = node.Ctl({"node", "version"});
  CHECK(alone.code == 4);
  CHECK_THAT(alone.out, Contains("Client:"));
}

}  // namespace
}  // namespace claw::ctl::testing
