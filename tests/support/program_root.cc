#include "tests/support/program_root.h"

#include <fstream>
#include <stdexcept>

#include "agent/base/strings.h"
#include "agent/base/subprocess.h"

namespace claw::test {
namespace fs = std::filesystem;
namespace {

std::string MustRun(std::vector<std::string> argv) {
  ProcessSpec command;
  command.argv = std::move(argv);
  const StatusOr<std::string> output = RunOrError(std::move(command));
  if (!output.ok()) throw std::runtime_error(ToLogString(output.status()));
  return *output;
}

// The file under the same path, as what a symbolic link leads to.
void AddFile(const fs::path& root, const fs::path& file) {
  const fs::path target = root / file.relative_path();
  fs::create_directories(target.parent_path());
  fs::copy_file(file, target, fs::copy_options::skip_existing);
}

}  // namespace

void AddPrograms(const fs::path& root, const std::vector<std::string>& programs,
                 const std::vector<std::string>& folders) {
  for (const std::string& program : programs) {
    AddFile(root, program);
    const std::string libraries = MustRun({"/usr/bin/ldd", program});
    for (const std::string_view line : Split(libraries, '\n', true)) {
      const size_t path = line.find('/');
      if (path == std::string_view::npos) continue;
      AddFile(root, std::string(line.substr(path, line.find(' ', path) - path)));
    }
  }
  for (const std::string& folder : folders) {
    const fs::path target = root / fs::path(folder).relative_path();
    fs::create_directories(target);
    fs::copy(folder, target,
             fs::copy_options::recursive | fs::copy_options::copy_symlinks |
                 fs::copy_options::skip_existing);
  }
}

void AddCProgram(const fs::path& root, const std::string& name, const std::string& source) {
  const fs::path file = root / (name + ".c");
  std::ofstream(file) << source;
  MustRun({"/usr/bin/gcc", "-static", "-O1", "-o", (root / name).string(), file.string()});
}

}  // namespace claw::test
