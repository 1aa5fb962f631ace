// Runs in a sandbox: tries what a confined program must not be able to do, and prints for each a
// line "NAME ERRNO", 0 where it was let through.

#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

namespace {

template <typename... Arguments>
void Try(const char* name, long number, Arguments... arguments) {
  errno = 0;
  const long result = ::syscall(number, arguments...);
  std::printf("%s %d\n", name, result < 0 ? errno : 0);
}

void TrySocket(const char* name, long family, long type, long protocol) {
  Try(name, SYS_socket, family, type, protocol);
}

// Runs `attempt` in a child and prints the signal that it died of.
template <typename Attempt>
void TryInChild(const char* name, Attempt attempt) {
  std::fflush(stdout);
  const pid_t pid = ::fork();
  if (pid == 0) {
    attempt();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  std::printf("%s %d\n", name, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

// The second and third set of entries that a 64-bit x86 kernel has.
void TryOtherTables() {
#if defined(__x86_64__)
  TryInChild("killed_int80", [] {
    long result = 20;  // getpid of the 32-bit table
    asm volatile("int $0x80" : "+a"(result) : : "memory");
  });
  TryInChild("killed_x32", [] { ::syscall(0x40000000L + SYS_getpid); });
#endif
}

}  // namespace

int main() {
  char page[4096] = {};
  Try("keyctl", SYS_keyctl, 0, -3, 0);
  Try("add_key", SYS_add_key, "user", "a", "b", 1, -3);
  Try("request_key", SYS_request_key, "user", "a", nullptr, -3);
  Try("bpf", SYS_bpf, 0, page, 64);
  Try("perf_event_open", SYS_perf_event_open, page, 0, -1, -1, 0);
  Try("userfaultfd", SYS_userfaultfd, 1);
  Try("io_uring_setup", SYS_io_uring_setup, 4, page);
  Try("io_setup", SYS_io_setup, 4, page);
  Try("unshare_user", SYS_unshare, CLONE_NEWUSER);
  Try("unshare_net", SYS_unshare, CLONE_NEWNET);
  Try("clone_user", SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  Try("clone3", SYS_clone3, page, 88);
  Try("setns", SYS_setns, 0, 0);
  Try("mount", SYS_mount, "none", "/tmp", "tmpfs", 0, nullptr);
  Try("umount2", SYS_umount2, "/proc", 2);
  Try("fsopen", SYS_fsopen, "tmpfs", 0);
  Try("open_tree", SYS_open_tree, -100, "/", 1);
  Try("move_mount", SYS_move_mount, -100, "/", -100, "/tmp", 0);
  Try("mount_setattr", SYS_mount_setattr, -100, "/", 0, page, 32);
  Try("pivot_root", SYS_pivot_root, "/", "/tmp");
  Try("chroot", SYS_chroot, "/tmp");
  Try("ptrace", SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
  Try("process_vm_readv", SYS_process_vm_readv, 1, page, 0, page, 0, 0);
  Try("pidfd_getfd", SYS_pidfd_getfd, 0, 0, 0);
  Try("kcmp", SYS_kcmp, 1, 1, 0, 0, 0);
  Try("personality_linux32", SYS_personality, 8);
  Try("personality_no_random", SYS_personality, 0x40000);
  Try("name_to_handle_at", SYS_name_to_handle_at, -100, "/", page, page, 0);
  Try("open_by_handle_at", SYS_open_by_handle_at, -100, page, 0);
  Try("vmsplice", SYS_vmsplice, 1, page, 0, 0);
  Try("remap_file_pages", SYS_remap_file_pages, page, 4096, 0, 0, 0);
  Try("fanotify_init", SYS_fanotify_init, 0, 0);
  Try("quotactl", SYS_quotactl, 0, nullptr, 0, page);
  Try("init_module", SYS_init_module, page, 0, "");
  Try("finit_module", SYS_finit_module, 0, "", 0);
  Try("kexec_load", SYS_kexec_load, 0, 0, page, 0);
  Try("syslog", SYS_syslog, 3, page, 4096);
  Try("settimeofday", SYS_settimeofday, page, nullptr);
  Try("clock_settime", SYS_clock_settime, 0, page);
  Try("swapon", SYS_swapon, "/tmp", 0);
  Try("acct", SYS_acct, nullptr);
#if defined(__x86_64__)
  Try("modify_ldt", SYS_modify_ldt, 0, page, 16);
  Try("iopl", SYS_iopl, 3);
#endif
  TrySocket("af_packet", AF_PACKET, SOCK_RAW, 0);
  TrySocket("af_alg", AF_ALG, SOCK_SEQPACKET, 0);
  TrySocket("af_vsock", AF_VSOCK, SOCK_STREAM, 0);
  TrySocket("af_vsock_high_bits", AF_VSOCK | (1L << 32), SOCK_STREAM, 0);
  TrySocket("af_can", AF_CAN, SOCK_RAW, 1);
  TrySocket("af_xdp", AF_XDP, SOCK_RAW, 0);
  TrySocket("raw", AF_INET, SOCK_RAW, IPPROTO_ICMP);
  TrySocket("sctp", AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP);
  TrySocket("sctp_unnamed", AF_INET, SOCK_SEQPACKET, 0);
  TrySocket("mptcp", AF_INET, SOCK_STREAM, 262);
  TrySocket("nf_tables", AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
  // And what a program does need.
  TrySocket("ok_unix", AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  TrySocket("ok_tcp", AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  TrySocket("ok_udp6", AF_INET6, SOCK_DGRAM, IPPROTO_UDP);
  TrySocket("ok_route", AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  Try("ok_personality", SYS_personality, 0xFFFFFFFFL);
  Try("ok_memfd", SYS_memfd_create, "a", 0);
  TryOtherTables();
  return 0;
}
