#include "agent/host/hardening.h"

#include "agent/host/darwin/sysctls.h"
#include "agent/host/folder_facts.h"

namespace claw::host {

// A Mac runs tenants in the guests that it hosts; what isolation rests on is read there.
StatusOr<MachineFacts> ReadMachineFacts(const FactsSource& source) {
  MachineFacts facts;
  facts.os = "darwin";
  facts.state_dir = ReadFolderFacts(source.state_dir);
  facts.run_dir = ReadFolderFacts(source.run_dir);
  ASSIGN_OR_RETURN(facts.mac, FactsOfMac(ReadMacSysctls()));
  facts.mac->programs = FindMacPrograms([](const std::filesystem::path& path) {
    std::error_code error;
    return std::filesystem::exists(path, error);
  });
  return facts;
}

}  // namespace claw::host
