// The first program of every gVisor sandbox: it reports which kernel it runs on, seen from inside,
// and then becomes the tenant's program. Static and without the C++ library: it has to run in any
// image.
//
//   init NONCE PROGRAM [ARG…]
//   init selftest              does nothing, successfully
//
// The report is the first line of the sandbox's output; the agent takes it out of the log:
//   clawlet-proof NONCE release=R version=V machine=M memory=BYTES exec=0|ERRNO klog=TEXT

#include <sys/klog.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kReadAll = 3;  // SYSLOG_ACTION_READ_ALL

// Spaces separate the fields.
void Underline(char* text) {
  for (; *text != '\0'; ++text) {
    if (*text == ' ' || *text == '\n' || *text == '\r') *text = '_';
  }
}

int CheckExecutable(const char* path) {
  struct stat info {};
  if (stat(path, &info) != 0) return errno;
  if (S_ISDIR(info.st_mode)) return EISDIR;
  return access(path, X_OK) == 0 ? 0 : errno;
}

// What execvp would run, and whether it can: 0 or an errno.
int FindProgram(const char* name, char* found, size_t size) {
  if (strchr(name, '/') != nullptr) {
    snprintf(found, size, "%s", name);
    return CheckExecutable(found);
  }
  const char* path = getenv("PATH");
  if (path == nullptr || *path == '\0')
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  int error = ENOENT;
  while (*path != '\0') {
    const size_t length = strcspn(path, ":");
    snprintf(found, size, "%.*s/%s", static_cast<int>(length), path, name);
    const int result = CheckExecutable(found);
    if (result == 0) return 0;
    if (result == EACCES) error = EACCES;
    path += length;
    if (*path == ':') ++path;
  }
  return error;
}

void Report(const char* nonce, int exec_error) {
  utsname names{};
  uname(&names);
  struct sysinfo memory {};
  sysinfo(&memory);
  char log[160] = {};
  if (klogctl(kReadAll, log, sizeof(log) - 1) < 0) snprintf(log, sizeof(log), "errno-%d", errno);
  Underline(names.release);
  Underline(names.version);
  Underline(log);
  char line[1024];
  const int length =
      snprintf(line, sizeof(line),
               "clawlet-proof %s release=%s version=%s machine=%s memory=%llu exec=%d klog=%s\n",
               nonce, names.release, names.version, names.machine,
               static_cast<unsigned long long>(memory.totalram) * memory.mem_unit, exec_error, log);
  // One write: one record of the log.
  if (write(STDOUT_FILENO, line, static_cast<size_t>(length)) != length) _exit(125);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "selftest") == 0) return 0;
  if (argc < 3) return 125;
  char program[4096];
  const int error = FindProgram(argv[2], program, sizeof(program));
  Report(argv[1], error);
  if (error != 0) return error == ENOENT ? 127 : 126;
  execv(program, argv + 2);
  // A script without an interpreter line runs under the shell, as execvp has it.
  if (errno == ENOEXEC) {
    argv[1] = const_cast<char*>("/bin/sh");
    argv[2] = program;
    execv("/bin/sh", argv + 1);
  }
  fprintf(stderr, "cannot execute %s: %s\n", program, strerror(errno));
  return 126;
}
