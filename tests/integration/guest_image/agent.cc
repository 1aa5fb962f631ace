// Stands in for the agent where the guest's init is tested: ends with the code that the seed's file
// "codes" has for this start of this boot, and says how many starts its state has seen. 15 stands
// for somebody who tells init to end: it waits to be told, too.

#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

int main() {
  size_t starts = 0;
  std::ifstream("/run/starts") >> starts;
  std::ofstream("/run/starts") << starts + 1;

  std::ifstream codes("/run/clawlet-seed/codes");
  int code = 1;
  for (size_t i = 0; i <= starts && codes; ++i) codes >> code;

  const std::string kept = "/var/lib/clawlet/kept";
  std::ofstream(kept, std::ios::app) << 'x';
  std::ifstream all(kept);
  const auto seen = std::distance(std::istreambuf_iterator<char>(all), {});
  std::cout << "agent: start " << starts + 1 << ", state of " << seen << ", ends with " << code
            << std::endl;
  if (code == SIGTERM) {
    ::kill(1, SIGTERM);
    while (true) ::pause();
  }
  return code;
}
