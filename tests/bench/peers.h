#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/subprocess.h"

namespace claw::bench {

// The other ways to run a container that a benchmark compares with, each with folders of its own
// below `dir`.

// While it lives, processes that a runtime leaves behind become children of this one, which reaps
// them, as a supervisor would. runsc's `delete` waits until somebody has; not every init is quick.
class AdoptOrphans {
 public:
  AdoptOrphans();
  ~AdoptOrphans();
  AdoptOrphans(const AdoptOrphans&) = delete;
  AdoptOrphans& operator=(const AdoptOrphans&) = delete;
};

enum class Bundle {
  kPlain,     // namespaces and a memory limit, no more
  kConfined,  // clawlet's own config for this runtime: what is left is what clawlet itself adds
};

// A bare OCI runtime on a bundle that is ready.
class BareRuntime {
 public:
  // kind: "runc" or "runsc". The bundles hold `root` as it is, without an overlay.
  BareRuntime(std::string kind, std::filesystem::path dir, const std::filesystem::path& root);

  // Both only while an AdoptOrphans lives.
  void CreateAndStart(const std::string& id, Bundle bundle);  // a sleeping program
  void Remove(const std::string& id);                         // kill and delete
  void RunToExit(const std::string& id);  // `run` of a program that ends at once

 private:
  std::vector<std::string> Command(std::vector<std::string> arguments) const;
  void WritePlain(const std::filesystem::path& bundle, const std::filesystem::path& root,
                  const std::vector<std::string>& argv) const;
  void WriteConfined(const std::filesystem::path& bundle, const std::filesystem::path& root) const;
  std::vector<pid_t> ProcessesOf(const std::string& id) const;

  std::string kind_;
  std::filesystem::path dir_;
};

// podman with the same runtime, its folders and its configuration beside.
class Podman {
 public:
  Podman(std::string kind, std::filesystem::path dir, std::filesystem::path root);
  void RunToExit();

 private:
  std::string kind_;
  std::filesystem::path dir_;
  std::filesystem::path root_;
};

// A containerd of our own and `ctr run` on it.
class Containerd {
 public:
  Containerd(std::filesystem::path dir, std::filesystem::path root);
  ~Containerd();
  void RunToExit(const std::string& kind, const std::string& id);

 private:
  std::filesystem::path dir_;
  std::filesystem::path root_;
  std::optional<Process> daemon_;
};

// A script that calls runsc with the flags it needs, for those who cannot pass them on.
std::filesystem::path RunscWrapper(const std::filesystem::path& dir);

// Runs a command to its end; a failure ends the benchmark with what it printed.
void MustRun(const std::vector<std::string>& argv);

}  // namespace claw::bench
