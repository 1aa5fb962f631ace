#include "tests/support/busybox_root.h"

#include <fstream>

namespace claw::test {
namespace fs = std::filesystem;

void MakeBusyboxRoot(const fs::path& root) {
  for (const char* folder : {"bin", "etc", "proc", "sys", "dev", "tmp", "root"}) {
    fs::create_directories(root / folder);
  }
  fs::permissions(root / "tmp", fs::perms::all | fs::perms::sticky_bit);
  fs::copy_file("/bin/busybox", root / "bin/busybox", fs::copy_options::overwrite_existing);
  for (const char* applet :
       {"sh",     "true",  "false", "cat",   "echo",  "sleep", "uname", "id",
        "ls",     "free",  "head",  "tail",  "dd",    "env",   "pwd",   "kill",
        "stty",   "tr",    "wc",    "touch", "mkdir", "rm",    "ps",    "seq",
        "printf", "mount", "yes",   "grep",  "stat",  "test",  "nproc", "date"}) {
    fs::remove(root / "bin" / applet);
    fs::create_symlink("busybox", root / "bin" / applet);
  }
  std::ofstream(root / "etc/passwd")
      << "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
  std::ofstream(root / "etc/group") << "root:x:0:\nnogroup:x:65534:\n";
}

}  // namespace claw::test
