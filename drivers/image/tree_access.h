#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"

namespace claw::image {

// What each kernel does with the files of an image in its own way: linux/ and darwin/ have one of
// each.

// A file of the image, to be read; no link in it leads out of the image. No descriptor: there is
// none, or it cannot be reached.
StatusOr<UniqueFd> OpenInRoot(const std::filesystem::path& rootfs, const char* name);

// Takes capabilities and attributes in the kernel's trust off a file, `name` in an open folder,
// that is `path` in messages. Answers with whether there were capabilities. A symbolic link is not
// followed.
StatusOr<bool> ClearAttributes(int folder, const std::string& name, std::string_view path);

// Extended attributes by their names. Those of a file that go with the image wherever it goes,
// which "security." and "trusted." do not; and what is given to a file. A symbolic link is not
// followed.
using ExtendedAttributes = std::vector<std::pair<std::string, std::string>>;
StatusOr<ExtendedAttributes> ReadAttributes(int folder, const std::string& name,
                                            std::string_view path);
Status WriteAttributes(int folder, const std::string& name, std::string_view path,
                       const ExtendedAttributes& attributes);

// Everything that was written to the file system of this folder is on the disk.
Status SyncFileSystem(int folder);

}  // namespace claw::image
