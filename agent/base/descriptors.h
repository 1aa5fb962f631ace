#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <utility>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"

namespace claw {

// What every kernel does with descriptors, and each in its own way: linux/ and darwin/ have one of
// each.

// {read end, write end}, close-on-exec.
StatusOr<std::pair<UniqueFd, UniqueFd>> MakePipe();

// A socket of AF_UNIX, close-on-exec. `type` is SOCK_STREAM or SOCK_DGRAM.
StatusOr<UniqueFd> MakeUnixSocket(int type);

// The data of a file are on the disk, through the disk's own cache. Answers as fsync(2).
int SyncData(int fd);

// The user at the other end of a connected socket of AF_UNIX.
StatusOr<uid_t> PeerUser(int socket);

// When anything of the file changed last, in nanoseconds since 1970.
int64_t ChangeTimeNs(const struct stat& info);

}  // namespace claw
