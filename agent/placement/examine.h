#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "agent/budget/overhead.h"
#include "agent/placement/demand.h"
#include "agent/placement/score.h"
#include "agent/placement/target.h"
#include "agent/policy/isolation.h"

namespace claw::placement {

// What decisions rest on beside the demand and the target.
struct Settings {
  policy::Rules policy{};
  Weights weights{};
  bool allow_emulated = false;               // emulated targets take work, too
  const budget::OverheadModel* overheads{};  // not owned, never null
  Time now{};
};

// What a sandbox gets on a target that it fits.
struct Offer {
  policy::Decision decision{};
  Runtime runtime{};
  std::string image_digest{};
  Memory memory{};
};

// One thing that a target has to offer, and whether it does.
struct Constraint {
  std::string name{};  // as the `constraint` of a refusal: "node.memory.allocatable_bytes"
  bool met = false;
  std::string needed{};
  std::string available{};
  Status refusal{};  // OK if it is met
};

struct Explanation {
  std::string target{};
  bool fits = false;
  std::vector<Constraint> constraints{};  // in the order in which they are asked
  std::optional<Offer> offer{};           // as far as the isolation class is known
  Score score{};
};

// Whether one demand fits targets: the one function behind explain, reserve, commit and every
// retry. Keeps what follows from a platform alone, so asking many targets that share few platforms
// is cheap. The demand and what the settings point at outlive it.
class Examiner {
 public:
  Examiner(const Demand& demand, Settings settings);
  ~Examiner();

  // The first constraint that is not met, as a typed refusal: asked in a fixed order.
  StatusOr<Offer> Ask(const Target& target);
  // The same answer without words: empty if it fits, else the constraint's name, which lives as
  // long as the program.
  std::string_view Obstacle(const Target& target);
  // Every constraint. `fits`, and the first refusal, are as Ask says.
  Explanation Explain(const Target& target);
  // What the isolation policy says there, and nothing else.
  policy::Decision Decide(const Target& target);
  // The score of a target as it is, whether it fits or not. `of_tenant` as in ScoreInput.
  Score RateTarget(const Target& target, int64_t required_bytes, int64_t of_tenant);
  // What it would hold there; nothing: it cannot run there.
  Memory MemoryOn(const std::shared_ptr<const Platform>& platform);

 private:
  struct View;
  // Whether it is known in which class it would run there.
  template <typename Sink>
  bool Examine(const Target& target, Sink& sink);
  template <typename Sink>
  bool ExamineTenant(const Target& target, Sink& sink);
  template <typename Sink>
  bool ExaminePlace(const Target& target, Sink& sink);
  template <typename Sink>
  bool ExamineNetwork(const Target& target, const View& view, Sink& sink);
  template <typename Sink>
  bool ExamineRoom(const Target& target, const View& view, Sink& sink);
  const View& On(const std::shared_ptr<const Platform>& platform);
  // The same, or `own` if tenants that are on it matter.
  const View& ViewOf(const Target& target, std::optional<View>& own);
  View Judge(const Platform& platform, const std::string& other_tenant) const;
  Offer OfferOf(const View& view) const;

  const Demand& demand_;
  Settings settings_;
  std::map<std::shared_ptr<const Platform>, std::unique_ptr<View>> views_;
  const Platform* last_platform_ = nullptr;  // views_ keeps it
  View* last_view_ = nullptr;
};

// What a target's sandboxes hold, as admission takes it.
budget::Holdings HoldingsOf(const Target& target, const Settings& settings);
// What they require together, burstable ones with what they may want beyond their requests.
int64_t RequiredBytes(const Target& target, const Settings& settings);

}  // namespace claw::placement
