#include "agent/budget/overhead.h"

#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>
#include <limits>

#include "agent/base/bytes.h"
#include "agent/model/json.h"

namespace claw::budget {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kPrior = 64 * kMiB;
const Time kStart = FromMicros(int64_t{1'764'000'000} * 1'000'000);

SandboxClass ClassOf(const std::string& image, const std::string& family = "python") {
  return {.image_digest = "sha256:" + image,
          .image_family = family,
          .driver = "gvisor",
          .runtime_version = "release-1",
          .platform = "systrap",
          .architecture = "amd64",
          .page_size_bytes = 4096};
}

// So many windows of a minute with this peak.
Time Feed(OverheadModel& model, const SandboxClass& sandboxes, int64_t bytes, int windows,
          Time now = kStart) {
  for (int i = 0; i < windows; ++i) model.Add(sandboxes, bytes, now += minutes(1));
  return now;
}

TEST_CASE("a class that nobody has seen costs what the driver guesses") {
  const OverheadModel model;
  const OverheadEstimate estimate = model.Estimate(ClassOf("a"), kPrior, kStart);
  CHECK(estimate.bytes == kPrior);
  CHECK(estimate.steps.empty());
  CHECK(model.Estimate(ClassOf("a"), -5, kStart).bytes == 0);
}

TEST_CASE("an estimate falls from the prior as windows are measured, but not below a quarter") {
  OverheadModel model;
  Time now = Feed(model, ClassOf("a"), 14 * kMiB, 1);
  int64_t before = model.Estimate(ClassOf("a"), kPrior, now).bytes;
  CHECK(before < kPrior);
  CHECK(before > 45 * kMiB);
  for (int i = 0; i < 10; ++i) {
    now = Feed(model, ClassOf("a"), 14 * kMiB, 10, now);
    const int64_t after = model.Estimate(ClassOf("a"), kPrior, now).bytes;
    CHECK(after <= before);
    before = after;
  }
  CHECK(before >= 16 * kMiB);
  CHECK(before < 20 * kMiB);  // 14 MiB, a tenth more, up to the next bucket, and the last of trust
  now = Feed(model, ClassOf("b", "tiny"), kMiB, 500, now);
  CHECK(model.Estimate(ClassOf("b", "tiny"), kPrior, now).bytes == kPrior / 4);
}

TEST_CASE("one high peak counts at once, is forgotten slowly, and fades") {
  OverheadModel model;
  Time now = Feed(model, ClassOf("a"), 14 * kMiB, 200);
  now = Feed(model, ClassOf("a"), 200 * kMiB, 1, now);
  CHECK(model.Estimate(ClassOf("a"), kPrior, now).bytes >= 200 * kMiB);
  CHECK(model.Estimate(ClassOf("a"), kPrior, now + hours(6)).bytes >= 100 * kMiB);
  now = Feed(model, ClassOf("a"), 14 * kMiB, 60 * 30, now);
  CHECK(model.Estimate(ClassOf("a"), kPrior, now).bytes < 24 * kMiB);
}

TEST_CASE("high peaks that come often stay in the quantile when the last of them has faded") {
  OverheadModel model;
  Time now = kStart;
  for (int i = 0; i < 100; ++i) {
    now = Feed(model, ClassOf("a"), 14 * kMiB, 9, now);
    now = Feed(model, ClassOf("a"), 90 * kMiB, 1, now);
  }
  CHECK(model.Estimate(ClassOf("a"), kPrior, now + hours(24)).bytes >= 90 * kMiB);
}

TEST_CASE("a cold image borrows from its family, and from strangers only what makes it dearer") {
  OverheadModel model;
  Time now = Feed(model, ClassOf("a"), 14 * kMiB, 200);
  CHECK(model.Estimate(ClassOf("new"), kPrior, now).bytes < 20 * kMiB);
  CHECK(model.Estimate(ClassOf("new", "other"), kPrior, now).bytes == kPrior);
  CHECK(model.Estimate(ClassOf("new", ""), kPrior, now).bytes == kPrior);

  now = Feed(model, ClassOf("b", "hungry"), 100 * kMiB, 200, now);
  CHECK(model.Estimate(ClassOf("new", "other"), kPrior, now).bytes > 100 * kMiB);
  // Learned by itself: the strangers count no more.
  CHECK(model.Estimate(ClassOf("a"), kPrior, now).bytes < 25 * kMiB);

  now = Feed(model, ClassOf("c", "hostile"), 10 * kGiB, 2000, now);
  const int64_t cold = model.Estimate(ClassOf("new", "other"), kPrior, now).bytes;
  CHECK(cold >= 2 * kPrior);
  CHECK(cold <= 2 * kPrior * 12 / 10);  // no more than twice the prior, and the margin
}

TEST_CASE("another runtime version is another class") {
  OverheadModel model;
  const Time now = Feed(model, ClassOf("a"), 14 * kMiB, 200);
  SandboxClass newer = ClassOf("a");
  newer.runtime_version = "release-2";
  CHECK(model.Estimate(newer, kPrior, now).bytes == kPrior);
}

TEST_CASE("what has not been seen for long goes back to the prior") {
  OverheadModel model;
  const Time now = Feed(model, ClassOf("a"), 14 * kMiB, 50);
  CHECK(model.Estimate(ClassOf("a"), kPrior, now + hours(24 * 60)).bytes > 63 * kMiB);
}

TEST_CASE("a clock that is set back or far ahead breaks nothing") {
  OverheadModel model;
  Time now = Feed(model, ClassOf("a"), 14 * kMiB, 100);
  model.Add(ClassOf("a"), 15 * kMiB, kStart - hours(24 * 365));
  const int64_t estimate = model.Estimate(ClassOf("a"), kPrior, kStart - hours(24 * 365)).bytes;
  CHECK(estimate >= 16 * kMiB);
  CHECK(estimate < 25 * kMiB);
  model.Add(ClassOf("a"), 14 * kMiB, now + hours(24 * 365 * 100));
  const int64_t later = model.Estimate(ClassOf("a"), kPrior, now + hours(24 * 365 * 100)).bytes;
  CHECK(later >= 14 * kMiB);
  CHECK(later <= kPrior);
}

TEST_CASE("records are dropped, those not seen for longest first, and changes are told once") {
  OverheadModel model({.max_records = 6});
  Time now = kStart;
  for (const char* image : {"a", "b", "c"}) now = Feed(model, ClassOf(image, image), kMiB, 1, now);
  CHECK(model.records().size() == 6);
  OverheadModel::Changes changes = model.TakeChanges();
  CHECK(changes.put.size() == 6);
  CHECK(changes.removed == std::vector{OverheadKey(OverheadLevel::kFamily, ClassOf("a", "a"))});
  CHECK(model.TakeChanges().put.empty());
  model.PutBack(changes);
  CHECK(model.TakeChanges().put == changes.put);
}

TEST_CASE("what is learned survives being written down") {
  OverheadModel model;
  Time now = kStart;
  for (int i = 1; i < 60; ++i) now = Feed(model, ClassOf("a"), i * kMiB, 1, now);
  std::vector<OverheadRecord> read;
  for (const OverheadRecord& record : model.TakeChanges().put) {
    const auto back = OverheadRecordFromJson(ToJson(record));
    REQUIRE(back.ok());
    CHECK(*back == record);
    read.push_back(*back);
  }
  OverheadModel loaded;
  loaded.Load(read);
  CHECK(loaded.Estimate(ClassOf("a"), kPrior, now).bytes ==
        model.Estimate(ClassOf("a"), kPrior, now).bytes);
  CHECK(loaded.TakeChanges().put.empty());
}

TEST_CASE("a damaged record is refused") {
  for (const char* text :
       {R"({"buckets":[[-1,1]]})", R"({"buckets":[[3000000000,1]]})", R"({"buckets":[[1,-1]]})",
        R"({"buckets":[[1]]})", R"({"recent":{"bytes":-1}})", R"({"level":"planet"})", "[]", "{"}) {
    INFO(text);
    CHECK(OverheadRecordFromJson(text).status().code() == StatusCode::kDataLoss);
  }
}

int64_t AnySize() {
  return *rc::gen::oneOf(rc::gen::inRange<int64_t>(0, kGiB), rc::gen::inRange<int64_t>(0, kMax),
                         rc::gen::element(int64_t{0}, kMax, kMax - 1, int64_t{-1}));
}

TEST_CASE("estimates are monotone and never leave the numbers") {
  rc::prop("any peaks", [] {
    OverheadModel lower;
    OverheadModel higher;
    Time now = kStart;
    int64_t prior = std::max<int64_t>(0, AnySize());
    for (int n = *rc::gen::inRange(0, 40); n > 0; --n) {
      const auto sandboxes = ClassOf(*rc::gen::element<std::string>("a", "b"));
      now += std::chrono::seconds(*rc::gen::inRange(-100, 100'000));
      const int64_t low = AnySize();
      const int64_t high = std::max(low, *rc::gen::arbitrary<bool>() ? low : AnySize());
      const int64_t before = higher.Estimate(sandboxes, prior, now).bytes;
      lower.Add(sandboxes, low, now);
      higher.Add(sandboxes, high, now);
      const int64_t after = higher.Estimate(sandboxes, prior, now).bytes;
      RC_ASSERT(after >= 0);
      // A peak is covered at once, and one above the estimate never lowers it.
      const int64_t most = OverheadBucketBytes(285);
      if (high >= before && before <= most) RC_ASSERT(after >= before);
      RC_ASSERT(after >= std::min(high, most));
    }
    const auto asked = ClassOf("a");
    const int64_t low = lower.Estimate(asked, prior, now).bytes;
    RC_ASSERT(low >= 0);
    // What fades is rounded up to whole bytes at different times, and weights are doubles.
    const int64_t rounding = 2 + low / (int64_t{1} << 50);
    RC_ASSERT(SaturatingAdd(higher.Estimate(asked, prior, now).bytes, rounding) >= low);
    const int64_t more = *rc::gen::inRange<int64_t>(0, kGiB);
    RC_ASSERT(lower.Estimate(asked, SaturatingAdd(prior, more), now).bytes >= low);
  });
}

TEST_CASE("buckets grow by a twentieth from 1 MiB to 1 TiB") {
  CHECK(OverheadBucketBytes(0) == kMiB);
  CHECK(OverheadBucketBytes(1) == kMiB * 105 / 100 + 1);
  CHECK(OverheadBucketBytes(285) > kGiB * 1024);
  CHECK(OverheadBucketBytes(100'000) == OverheadBucketBytes(285));
  CHECK(OverheadBucketBytes(-1) == kMiB);
}

}  // namespace
}  // namespace claw::budget
