#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/placement/examine.h"

namespace claw::placement {

constexpr char kDigest[] = "sha256:1111";
constexpr char kArmDigest[] = "sha256:2222";

// One demand and one target that fit each other; tests spoil one thing at a time. The demand's
// tenant "acme" is trusted and gets runc; gVisor is there as well.
struct World {
  World();

  Platform platform{};  // of the target, once Place has been called
  Target target{};
  Demand demand{};
  Settings settings{};

  Target Place() const;  // the target on its platform
  void Hold(const Sandbox& sandbox) { target.held.Put(sandbox); }
};

// A guaranteed sandbox that is running and charged.
Sandbox Running(const std::string& id, const std::string& tenant, int64_t bytes = 64 * kMiB);

CompatVerdict Verdict(CompatResult result, const std::string& runtime_version = "release-1");

// What a sandbox would be recorded as that was given an offer.
Sandbox Taken(const std::string& id, const Demand& demand, const Offer& offer);

// Both images used 64 MiB wherever they ran, whatever was set aside for them.
budget::OverheadModel Measured();

// Of every kind that there is, from few values, so that they often meet. For rapidcheck.
std::shared_ptr<const Platform> AnyPlatform();
Sandbox AnySandbox(const std::string& id);
Target AnyTarget(const std::string& name);
Demand AnyDemand();
Settings AnySettings();

}  // namespace claw::placement
