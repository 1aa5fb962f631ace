#include <atomic>
#include <catch2/catch.hpp>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "tests/integration/isolation/real_node.h"
#include "tests/support/busybox_root.h"

// Invariant I1 with real runtimes: whatever happens at whichever moment of a start, untrusted code
// runs in no container of the host's kernel. The program writes down the kernel that it sees.

namespace claw::test {
namespace {

constexpr Moment kMoments[] = {Moment::kBeforeCreate, Moment::kAfterCreate, Moment::kBeforeStart,
                               Moment::kAfterStart};

class Faults {
 public:
  Faults() {
    MakeBusyboxRoot(node.dir() / "busybox");
    image_ = node.Import(node.dir() / "busybox", "busybox");
    node.AddTenant("guest", Trust::kUntrusted);
    CompatOverride as_if_tested;
    as_if_tested.image_digest = image_.digest;
    as_if_tested.reason = "these tests are about something else";
    REQUIRE(node.Run(node.node().CreateOverride({}, as_if_tested, std::chrono::hours(1))).ok());
    std::filesystem::create_directories(out());
    std::filesystem::permissions(out(), std::filesystem::perms::all);
  }

  StatusOr<Sandbox> Start(const std::string& tenant) {
    std::filesystem::remove(out() / "kernel");
    SandboxSpec spec;
    spec.tenant = tenant;
    spec.image = "busybox";
    spec.command = {"sh", "-c", "cat /proc/version > /out/kernel; exec sleep 1000"};
    spec.mounts = {{.source = out(), .destination = "/out", .read_only = false}};
    spec.workload_bytes = 64 * kMiB;
    return node.Run(node.node().CreateSandbox({}, spec, false));
  }

  // At one moment, and only once.
  void At(Moment moment, std::function<Status()> what) {
    auto done = std::make_shared<std::atomic<bool>>(false);
    node.SetHook([moment, done, what = std::move(what)](Moment now, const std::string&) -> Status {
      return now == moment && !done->exchange(true) ? what() : absl::OkStatus();
    });
  }

  // Empty: it did not run, or had no time to say.
  std::string KernelSeen() const { return ReadFile(out() / "kernel").value_or(""); }
  std::filesystem::path out() const { return node.dir() / "out"; }

  bool NothingIsLeft() {
    return node.Ask([this] { return node.node().ListSandboxes(); }).empty() &&
           node.Traces(IsolationClass::kContainer).empty() &&
           node.Traces(IsolationClass::kGvisor).empty() &&
           node.Traces(IsolationClass::kLegacyHardened).empty();
  }

  RealNode node{};

 private:
  Image image_;
};

std::string HostKernel() { return ReadFile("/proc/version").value(); }

TEST_CASE("trust that is lowered at any moment of a start ends it", "[isolation]") {
  Faults faults;
  for (const Moment moment : kMoments) {
    INFO(ToString(moment));
    const std::string tenant = StrCat("house-", static_cast<int>(moment));
    faults.node.AddTenant(tenant, Trust::kTrusted);
    std::future<StatusOr<Tenant>> lowered;
    faults.At(moment, [&] {
      lifecycle::TenantPatch patch;
      patch.trust = Trust::kUntrusted;
      RealNode& node = faults.node;
      lowered = node.Begin(node.node().UpdateTenant({}, tenant, patch));
      const auto trust = [&] { return node.node().GetTenant(tenant).value().trust; };
      while (node.Ask(trust) == Trust::kTrusted) std::this_thread::yield();
      return absl::OkStatus();
    });
    const StatusOr<Sandbox> started = faults.Start(tenant);
    INFO(started.status());
    CHECK(ReasonOf(started.status()) == "POLICY_CHANGED");
    REQUIRE(lowered.valid());
    CHECK(lowered.get().ok());
    // A start that has had its last look runs for a moment, and is over before the call that
    // lowered the trust answers.
    if (moment == Moment::kBeforeCreate || moment == Moment::kAfterCreate) {
      CHECK(faults.KernelSeen().empty());
    }
    CHECK(faults.NothingIsLeft());
  }
}

TEST_CASE("a start that fails at any moment leaves nothing, and nothing weaker takes over",
          "[isolation]") {
  Faults faults;
  for (const Moment moment : kMoments) {
    INFO(ToString(moment));
    faults.At(moment, [] { return Internal("the driver broke"); });
    const StatusOr<Sandbox> started = faults.Start("guest");
    CHECK(ToStd(started.status().message()).find("the driver broke") != std::string::npos);
    CHECK(faults.KernelSeen() != HostKernel());
    CHECK(faults.NothingIsLeft());
  }
  const StatusOr<Sandbox> started = faults.Start("guest");
  INFO(started.status());
  REQUIRE(started.ok());
  CHECK(started->isolation == IsolationClass::kGvisor);
}

TEST_CASE("a runsc that goes away at any moment is missed, and taken again when it is back",
          "[isolation]") {
  Faults faults;
  const std::filesystem::path runsc = faults.node.runsc();
  const std::filesystem::path aside = runsc.string() + ".aside";
  for (const Moment moment : kMoments) {
    INFO(ToString(moment));
    faults.At(moment, [&] {
      std::filesystem::rename(runsc, aside);
      return absl::OkStatus();
    });
    const StatusOr<Sandbox> started = faults.Start("guest");
    INFO(started.status());
    // Once it runs and is proven, the program on disk has no part in it.
    CHECK(started.ok() == (moment == Moment::kAfterStart));
    CHECK(faults.KernelSeen() != HostKernel());
    const StatusOr<Sandbox> without = faults.Start("guest");
    INFO(without.status());
    CHECK(ReasonOf(without.status()) == "RUNTIME_MISSING");
    faults.node.RemoveAll();
    CHECK(faults.NothingIsLeft());
    std::filesystem::rename(aside, runsc);
    const StatusOr<Sandbox> again = faults.Start("guest");
    INFO(again.status());
    CHECK(again.ok());
    faults.node.RemoveAll();
  }
}

TEST_CASE("a container runtime in runsc's place at any moment runs nothing", "[isolation]") {
  // Takes gVisor's flags and ignores them.
  constexpr char kImpostor[] =
      "#!/bin/bash\nargs=()\nfor a in \"$@\"; do case \"$a\" in\n"
      "--version) echo runsc version release-1; exit 0 ;;\n"
      "--platform=*|--network=*) ;; *) args+=(\"$a\") ;; esac; done\n"
      "exec runc \"${args[@]}\"\n";
  Faults faults;
  const std::filesystem::path runsc = faults.node.runsc();
  const std::filesystem::path aside = runsc.string() + ".aside";
  for (const Moment moment : kMoments) {
    INFO(ToString(moment));
    faults.At(moment, [&] {
      std::filesystem::rename(runsc, aside);
      return WriteFileAtomic(runsc, kImpostor, 0755);
    });
    const StatusOr<Sandbox> started = faults.Start("guest");
    INFO(started.status());
    CHECK(started.ok() == (moment == Moment::kAfterStart));
    CHECK(faults.KernelSeen() != HostKernel());
    faults.node.RemoveAll();
    // Now the impostor is all there is: it is looked at, and does not pass.
    const StatusOr<Sandbox> next = faults.Start("guest");
    INFO(next.status());
    CHECK(ReasonOf(next.status()) == "RUNTIME_MISSING");
    CHECK(faults.KernelSeen().empty());
    CHECK(faults.NothingIsLeft());
    std::filesystem::rename(aside, runsc);
  }
}

}  // namespace
}  // namespace claw::test
