#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/model/isolation.h"

namespace claw {

// What a test under gVisor found about an image.
enum class CompatResult { kCompatible, kDegraded, kIncompatible };

// A program that shows that an image works, and how it has to end.
struct CompatProbe {
  std::string name{};
  std::vector<std::string> command{};            // empty: the image's own program
  std::vector<std::string> env{};                // "NAME=value", on top of the image's
  int exit_code = 0;                             // 0 to 255
  std::optional<std::string> output{};           // what standard output has to be, to the byte …
  std::optional<std::string> output_contains{};  // … or has to contain
  std::chrono::milliseconds timeout = std::chrono::seconds(60);

  bool operator==(const CompatProbe&) const = default;
};

// How one run of a probe went.
struct CompatRun {
  int exit_code = 0;  // 128 + n for signal n
  bool timed_out = false;
  bool oom_killed = false;
  bool as_expected = false;   // exit code and output are as the probe says
  std::string output_tail{};  // UTF-8, the last kOutputTailBytes
  int64_t wall_micros = 0;    // from the start of the program to its end
  int64_t cpu_micros = 0;     // of the whole cgroup, the runtime's own included
  int64_t memory_peak_bytes = 0;

  bool operator==(const CompatRun&) const = default;
};

struct CompatProbeResult {
  CompatProbe probe{};
  CompatRun gvisor{};
  std::optional<CompatRun> baseline{};  // under runc

  bool operator==(const CompatProbeResult&) const = default;
};

// A system call that failed because of gVisor.
struct SyscallFinding {
  enum class Kind {
    kLacking,  // gVisor has no such call
    kRefused,  // gVisor knows it and refused it, where the baseline's kernel did not
  };
  enum class Mattered {
    kUnknown,  // takes a baseline
    kNo,       // failing in the same way under runc, it left the probe's outcome as it was
    kYes,      // failing in the same way under runc, it changed the probe's outcome
  };
  std::string name{};  // "userfaultfd"; "syscall_470" where nobody knows its name
  Kind kind = Kind::kLacking;
  int error_number = 0;  // errno; 0: not known
  Mattered mattered = Mattered::kUnknown;
  std::string probe{};  // the name of the probe that used it

  bool operator==(const SyscallFinding&) const = default;
};

// What a test found, for one image and one gVisor. Another version makes it stale.
struct CompatVerdict {
  std::string image_digest{};
  std::string runtime_version{};
  std::string platform{};
  std::string architecture{};
  std::string reference{};  // the name by which the image was tested
  CompatResult result = CompatResult::kIncompatible;
  std::string summary{};  // a sentence
  std::vector<CompatProbeResult> probes{};
  std::vector<SyscallFinding> findings{};
  std::vector<std::string> ignored_syscalls{};
  std::string tested_by{};  // identity of the caller
  Time tested_at{};
  std::string accepted_by{};  // of a degraded one; empty: nobody has accepted it

  bool operator==(const CompatVerdict&) const = default;
};

// The key of a verdict in the store: one for each image, runtime version, platform, architecture.
std::string VerdictKey(const CompatVerdict& verdict);

// How an untrusted image is to be treated for a while, whatever its verdict. One for each image.
struct CompatOverride {
  std::string image_digest{};
  IsolationClass isolation = IsolationClass::kGvisor;  // kGvisor or kLegacyHardened, nothing else
  std::string reason{};                                // why, in the giver's words
  std::string given_by{};                              // identity of the caller
  Time created_at{};
  Time expires_at{};

  bool operator==(const CompatOverride&) const = default;
};

constexpr char kProbeLabel[] = "io.clawlet.probe";
constexpr size_t kOutputTailBytes = 4096;
constexpr std::chrono::milliseconds kMaxProbeTimeout = std::chrono::minutes(10);
constexpr size_t kMaxProbes = 64;
constexpr size_t kMaxProbeBytes = 128 * 1024;  // of one probe's strings together
constexpr int64_t kDefaultProbeBytes = 512 * kMiB;
constexpr std::chrono::seconds kMinOverrideTime = std::chrono::minutes(1);
constexpr std::chrono::seconds kMaxOverrideTime = std::chrono::hours(24 * 30);

std::string_view ToString(CompatResult result);
std::string_view ToString(SyscallFinding::Kind kind);
std::string_view ToString(SyscallFinding::Mattered mattered);
StatusOr<CompatResult> ParseCompatResult(std::string_view text);
StatusOr<SyscallFinding::Kind> ParseFindingKind(std::string_view text);
StatusOr<SyscallFinding::Mattered> ParseMattered(std::string_view text);

// What the image's label "io.clawlet.probe" says to run: a JSON array of strings, or a line that is
// split into words as a shell would. INVALID_ARGUMENT with the label as the constraint.
StatusOr<std::vector<std::string>> ParseProbeLabel(std::string_view label);

// Bounds, UTF-8, names of variables. INVALID_ARGUMENT with the field as the constraint.
Status ValidateProbe(const CompatProbe& probe);

// Whether a verdict is about this runtime.
bool IsFresh(const CompatVerdict& verdict, std::string_view runtime_version,
             std::string_view platform, std::string_view architecture);

// A test of an image under gVisor, as it was asked for.
struct CompatTestSpec {
  std::string image{};                // a reference or a digest
  std::vector<CompatProbe> probes{};  // empty: what the image's label says, or its own program
  bool baseline = false;
  int64_t workload_bytes = kDefaultProbeBytes;
};

}  // namespace claw
