#include "tests/integration/network/leftovers.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "drivers/network/linux/nft.h"

namespace claw::test {
namespace {

std::vector<std::string> Names(const std::filesystem::path& folder) {
  auto names = ListDirectory(folder);
  return names.ok() ? std::move(*names) : std::vector<std::string>{};
}

void Erase(nlohmann::json& value) {
  if (value.is_object()) {
    for (const char* name : {"handle", "packets", "bytes"}) value.erase(name);
    if (value.contains("size")) value.erase("elem");  // filled by packets
  }
  if (!value.is_structured()) return;
  for (auto& part : value) Erase(part);
}

}  // namespace

std::string Leftovers(const World& world) {
  std::string left;
  for (const std::string_view line : Split(RunHere({"ip", "-o", "link"}), '\n', true)) {
    if (line.find("master clawt") != std::string_view::npos) left += StrCat(line, "\n");
  }
  left += RunHere({"ip", "neigh", "show", "nud", "permanent"});
  for (const std::string& name : Names(world.run_dir())) {
    if (name != "ipam") left += StrCat(name, "\n");
  }
  for (const std::string& bridge : Names(world.run_dir() / "ipam")) {
    for (const std::string& file : Names(world.run_dir() / "ipam" / bridge)) {
      if (ParseIpAddress(file).ok()) left += StrCat(bridge, "/", file, "\n");
    }
  }
  return left;
}

std::string Rules() {
  std::string text;
  for (const std::string_view family : {"inet", "bridge"}) {
    auto listed = network::ListNft(StrCat("list table ", family, " clawt"));
    REQUIRE(listed.ok());
    Erase(*listed);
    for (const auto& object : *listed) text += StrCat(object.dump(), "\n");
  }
  return text;
}

}  // namespace claw::test
