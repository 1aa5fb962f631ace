// Asks for its process id by a door of the kernel that is not the machine's own: "i386" or "x32".
// 0: it was answered; 1: it was refused.

#include <cstring>

namespace {

constexpr long kGetpidOfI386 = 20;
constexpr long kGetpidOfX32 = 0x40000000 | 39;

long CallI386() {
  long answer = kGetpidOfI386;
  asm volatile("int $0x80" : "+a"(answer)::"memory", "r8", "r9", "r10", "r11");
  return answer;
}

long CallX32() {
  long answer = kGetpidOfX32;
  asm volatile("syscall" : "+a"(answer)::"memory", "rcx", "r11");
  return answer;
}

}  // namespace

int main(int argc, char** argv) {
  const bool x32 = argc == 2 && std::strcmp(argv[1], "x32") == 0;
  return (x32 ? CallX32() : CallI386()) > 0 ? 0 : 1;
}
