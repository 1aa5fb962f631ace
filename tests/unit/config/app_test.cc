#include <spdlog/sinks/ostream_sink.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "agent/app/command_line.h"
#include "agent/app/log.h"
#include "agent/app/node_config.h"
#include "agent/app/service_manager.h"
#include "agent/base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace claw {
namespace {

struct Outcome {
  CommandLine command_line;
  std::string out;
  std::string err;
};

Outcome Read(std::vector<std::string> arguments, const std::filesystem::path& fallback = "/none") {
  std::ostringstream out;
  std::ostringstream err;
  CommandLine line = ReadCommandLine(std::move(arguments), "1.2.3", out, err, fallback);
  return {std::move(line), out.str(), err.str()};
}

TEST_CASE("command line: nothing means to serve with the defaults") {
  const Outcome outcome = Read({});
  CHECK(!outcome.command_line.exit_code.has_value());
  CHECK(outcome.command_line.config_file.empty());
  CHECK(outcome.command_line.config.state_dir == "/var/lib/clawlet");
}

TEST_CASE("command line: options win over the file") {
  const test::TempDir dir;
  const auto file = dir.path() / "c.toml";
  std::ofstream(file) << "[node]\nid = \"n\"\nstate_dir = \"/a\"\n[log]\nlevel = \"warn\"\n";
  const Outcome outcome = Read({"--config", file, "--state-dir", "/b", "--run-dir", "/r",
                                "--socket", "/s.sock", "--log-level", "debug"});
  REQUIRE(!outcome.command_line.exit_code.has_value());
  const Config& config = outcome.command_line.config;
  CHECK(config.node_id == "n");
  CHECK(config.state_dir == "/b");
  CHECK(config.run_dir == "/r");
  CHECK(config.SocketPath() == "/s.sock");
  CHECK(config.log_level == "debug");
  CHECK(outcome.command_line.log_level_given);
}

TEST_CASE("command line: the default file is read if it is there") {
  const test::TempDir dir;
  const auto file = dir.path() / "clawlet.toml";
  std::ofstream(file) << "[node]\nid = \"found\"\n";
  CHECK(Read({}, file).command_line.config.node_id == "found");
}

TEST_CASE("command line: checking a config") {
  const test::TempDir dir;
  const auto good = dir.path() / "good.toml";
  const auto bad = dir.path() / "bad.toml";
  std::ofstream(good) << "[node]\n";
  std::ofstream(bad) << "[node]\nidd = 1\n[log]\nlevel = 2\n";
  const Outcome ok = Read({"--check-config", "--config", good});
  CHECK(ok.command_line.exit_code == 0);
  CHECK(ok.out == "OK\n");
  const Outcome wrong = Read({"--check-config", "--config", bad});
  CHECK(wrong.command_line.exit_code == 1);
  CHECK_THAT(wrong.err, Catch::Contains("bad.toml:2:") && Catch::Contains("bad.toml:4:"));
  const Outcome missing = Read({"--config", (dir.path() / "none").string()});
  CHECK(missing.command_line.exit_code == 1);
}

TEST_CASE("command line: help, version, mistakes") {
  const Outcome help = Read({"--help"});
  CHECK(help.command_line.exit_code == 0);
  CHECK_THAT(help.out, Catch::Contains("Examples:"));
  const Outcome version = Read({"--version"});
  CHECK(version.command_line.exit_code == 0);
  CHECK_THAT(version.out, Catch::Contains("clawlet 1.2.3"));
  CHECK(Read({"--frob"}).command_line.exit_code == 2);
  CHECK(Read({"--log-level", "loud"}).command_line.exit_code == 2);
  const Outcome printed = Read({"--print-config", "--state-dir", "/x"});
  CHECK(printed.command_line.exit_code == 0);
  CHECK_THAT(printed.out, Catch::Contains("state_dir = \"/x\""));
}

std::string Log(std::string_view level, std::string_view format) {
  std::ostringstream out;
  const auto logger =
      MakeLogger(level, format, std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  logger->debug("fine");
  logger->warn("bad \"thing\"\n\xFF");
  logger->flush();
  return out.str();
}

TEST_CASE("log: text") {
  const std::string text = Log("info", "text");
  CHECK_THAT(text, Catch::Contains("Z warning bad \"thing\""));
  CHECK_THAT(text, !Catch::Contains("fine"));
  CHECK_THAT(Log("debug", "text"), Catch::Contains("debug fine"));
  CHECK(Log("error", "text").empty());
}

TEST_CASE("log: JSON, one object a line, whatever the message") {
  const std::string line = Log("info", "json");
  CHECK(std::count(line.begin(), line.end(), '\n') == 1);
  const auto json = nlohmann::json::parse(line);
  CHECK(json["level"] == "warning");
  CHECK(json["message"].get<std::string>().starts_with("bad \"thing\"\n"));
  CHECK(json["time"].get<std::string>().ends_with("Z"));
}

TEST_CASE("node config: what is set reaches the node, and thresholds have to rise") {
  host::HostInfo host;
  host.memory_bytes = 8 * kGiB;
  Config config;
  config.out_of_memory_one_in = 200;
  config.pressure_refuse_percent = 20;
  config.max_gvisor = 7;
  config.gvisor_starts_per_cpu = 3;
  config.overhead_quantile_percent = 80;
  config.overhead_half_life_hours = 5;
  const auto node = MakeNodeConfig(config, host);
  REQUIRE(node.ok());
  CHECK(node->burst.epsilon == Approx(0.005));
  CHECK(node->dial.refuse_at == Approx(0.20));
  CHECK(node->dial.short_bytes == node->reserves.eviction_bytes);
  CHECK(node->caps.by_driver.at("gvisor") == 7);
  CHECK(node->starts_per_cpu.at("gvisor") == 3);
  CHECK(node->overhead.quantile == Approx(0.8));
  CHECK(node->overhead.half_life == std::chrono::hours(5));
  config.pressure_refuse_percent = 50;  // above evict_percent
  CHECK(MakeNodeConfig(config, host).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("service manager: tells its socket, and nobody if there is none") {
  const test::TempDir dir;
  const std::string path = (dir.path() / "notify").string();
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  const ServiceManager manager(path);
  manager.SetStatus("up");
  manager.Ready();
  std::array<char, 64> buffer{};
  CHECK(::recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) == 9);
  CHECK(std::string(buffer.data()) == "STATUS=up");
  CHECK(::recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) == 7);
  CHECK(std::string(buffer.data(), 7) == "READY=1");
  ServiceManager("").Ready();
  ServiceManager((dir.path() / "gone").string()).Stopping();
}

}  // namespace
}  // namespace claw
