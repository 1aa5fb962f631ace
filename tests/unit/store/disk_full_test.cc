#ifdef __linux__

#include <sys/mount.h>

#include <catch2/catch.hpp>
#include <future>
#include <latch>

#include "agent/base/file.h"
#include "tests/support/skip.h"
#include "tests/unit/store/fixture.h"

namespace claw::store::testing {
namespace {

// A file system of its own with little room, in a temporary folder.
class SmallDisk {
 public:
  explicit SmallDisk(const char* options)
      : mounted_(::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, options) == 0) {}
  ~SmallDisk() {
    if (mounted_) ::umount2(folder_.path().c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] std::filesystem::path database() const { return folder_.database(); }
  [[nodiscard]] std::filesystem::path ballast() const { return folder_.path() / "ballast"; }

 private:
  TempFolder folder_{};
  bool mounted_;
};

void Skipped() { test::SkipOrFail("needs the right to mount a tmpfs"); }

Status PutNumber(Store& store, int number) {
  return WriteAndWait(store, [&](Transaction& transaction) {
    Sandbox sandbox = MakeSandbox(StrCat("s", number));
    sandbox.failure = std::string(3000, 'x');
    return transaction.PutSandbox(sandbox);
  });
}

TEST_CASE("a full disk refuses writes, keeps what is there, and takes writes again later",
          "[needs-mount]") {
  const SmallDisk disk("size=1m");
  if (!disk.mounted()) return Skipped();
  REQUIRE(WriteFileAtomic(disk.ballast(), std::string(300 << 10, 'b')).ok());
  int written = 0;
  {
    const auto store = MustOpen(disk.database());
    Status status;
    while (written < 1000 && (status = PutNumber(*store, written)).ok()) ++written;
    REQUIRE(written > 10);
    REQUIRE(status.code() == StatusCode::kResourceExhausted);
    CHECK(ReasonOf(status) == "DISK_FULL");
    CHECK(GetErrorDetail(status)->retry_after.has_value());
    CHECK_FALSE(GetErrorDetail(status)->available.empty());
    CHECK(PutNumber(*store, written).code() == StatusCode::kResourceExhausted);

    REQUIRE(std::filesystem::remove(disk.ballast()));
    for (int i = 0; i < 5; ++i) CHECK(PutNumber(*store, written++).ok());
  }
  const auto store = MustOpen(disk.database());
  CHECK(store->quarantined().empty());
  const auto sandboxes = store->TakeSnapshot().sandboxes;
  REQUIRE(static_cast<int>(sandboxes.size()) == written);
  for (int i = 0; i < written; ++i) {
    CHECK(sandboxes[static_cast<size_t>(i)].id == StrCat("s", i));
  }
}

TEST_CASE("a write too large for the disk fails, and nothing is half written", "[needs-mount]") {
  const SmallDisk disk("size=2m");
  if (!disk.mounted()) return Skipped();
  std::vector<Status> answers(3, absl::UnknownError("no answer"));
  {
    const auto store = MustOpen(disk.database());
    REQUIRE(PutNumber(*store, 1000).ok());
    std::promise<void> release;
    std::latch answered(4);
    store->Write(
        [&](Transaction&) {
          release.get_future().wait();
          return absl::OkStatus();
        },
        [&](const Status&) { answered.count_down(); });
    for (int i = 0; i < 3; ++i) {  // the one in the middle does not fit into SQLite's cache
      store->Write(
          [i](Transaction& transaction) -> Status {
            for (int part = 0; part < (i == 1 ? 2000 : 1); ++part) {
              Sandbox sandbox = MakeSandbox(StrCat("w", i, "-", part));
              sandbox.failure = std::string(3000, 'x');
              RETURN_IF_ERROR(transaction.PutSandbox(sandbox));
            }
            return absl::OkStatus();
          },
          [&, i](Status status) {
            answers[static_cast<size_t>(i)] = std::move(status);
            answered.count_down();
          });
    }
    release.set_value();
    answered.wait();
    CHECK(ReasonOf(answers[1]) == "DISK_FULL");
    CHECK(PutNumber(*store, 1001).ok());
  }
  std::vector<std::string> expected{"s1000"};
  if (answers[0].ok()) expected.emplace_back("w0-0");
  if (answers[2].ok()) expected.emplace_back("w2-0");
  expected.emplace_back("s1001");
  std::vector<std::string> found;
  for (const Sandbox& sandbox : MustOpen(disk.database())->TakeSnapshot().sandboxes) {
    found.push_back(sandbox.id);
  }
  CHECK(found == expected);
}

TEST_CASE("a disk that is full at the start is an error and moves nothing aside", "[needs-mount]") {
  const SmallDisk disk("size=384k");
  if (!disk.mounted()) return Skipped();
  REQUIRE(PutNumber(*MustOpen(disk.database()), 1).ok());
  const auto free_bytes = FreeDiskBytes(disk.database().parent_path());
  REQUIRE(free_bytes.ok());
  const std::string ballast(static_cast<size_t>(*free_bytes), 'b');
  REQUIRE(WriteFileAtomic(disk.ballast(), ballast).ok());
  const Status status = Store::Open({.path = disk.database()}).status();
  CHECK(status.code() == StatusCode::kResourceExhausted);
  CHECK(ReasonOf(status) == "DISK_FULL");
  REQUIRE(std::filesystem::remove(disk.ballast()));
  const auto store = MustOpen(disk.database());
  CHECK(store->quarantined().empty());
  CHECK(store->TakeSnapshot().sandboxes.size() == 1);
}

}  // namespace
}  // namespace claw::store::testing

#endif  // __linux__
