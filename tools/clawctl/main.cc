#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "tools/clawctl/app.h"

int main(int argc, char** argv) {
  const claw::SystemClock clock;
  return claw::ctl::RunClawctl(std::vector<std::string>(argv + 1, argv + argc), claw::ctl::Io{},
                               clock);
}
