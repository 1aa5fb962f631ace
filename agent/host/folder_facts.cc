#include "agent/host/folder_facts.h"

#include <sys/stat.h>

#include "agent/base/file.h"

namespace claw::host {

FolderFacts ReadFolderFacts(const std::filesystem::path& path) {
  FolderFacts facts{.path = path.string()};
  struct stat info {};
  if (path.empty() || ::stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return facts;
  facts.exists = true;
  facts.mode = static_cast<uint32_t>(info.st_mode & 07777);
  facts.uid = static_cast<uint32_t>(info.st_uid);
  facts.free_bytes = FreeDiskBytes(path).value_or(0);
  return facts;
}

}  // namespace claw::host
