#include "tests/unit/clawctl/fixture.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>

#include "agent/base/clock.h"
#include "agent/base/unique_fd.h"
#include "tools/clawctl/app.h"

namespace claw::ctl::testing {
namespace {

class FixedClock final : public Clock {
 public:
  Time Now() const override { return FromMicros(int64_t{1'000'192} * 1'000'000); }
};

UniqueFd MemoryFile(const std::string& content) {
  UniqueFd fd(::memfd_create("clawctl-test", MFD_CLOEXEC));
  if (::write(fd.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()) ||
      ::lseek(fd.get(), 0, SEEK_SET) != 0) {
    throw std::runtime_error("memfd");
  }
  return fd;
}

std::string Content(const UniqueFd& fd) {
  std::string text;
  std::array<char, 4096> buffer{};
  ::lseek(fd.get(), 0, SEEK_SET);
  for (ssize_t n = 0; (n = ::read(fd.get(), buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(n));
  }
  return text;
}

}  // namespace

Fixture::Fixture() {
  std::string pattern = (std::filesystem::temp_directory_path() / "clawctl-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
  directory_ = pattern;
  socket_ = directory_ + "/agent.sock";
  agent_ = std::make_unique<FakeAgent>(socket_);
}

Fixture::~Fixture() {
  agent_.reset();
  std::error_code error;
  std::filesystem::remove_all(directory_, error);
}

CtlResult Fixture::Ctl(const std::vector<std::string>& args, const std::string& input) const {
  std::vector<std::string> all = {"--socket", socket_};
  all.insert(all.end(), args.begin(), args.end());
  const UniqueFd in = MemoryFile(input);
  const UniqueFd out = MemoryFile("");
  const UniqueFd err = MemoryFile("");
  const FixedClock clock;
  CtlResult result;
  result.code = RunClawctl(all, Io{.in = in.get(), .out = out.get(), .err = err.get()}, clock);
  result.out = Content(out);
  result.err = Content(err);
  return result;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace claw::ctl::testing
