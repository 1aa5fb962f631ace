#include "tests/unit/rpc/node_fixture.h"

#include <csignal>
#include <cstdio>
#include <stdexcept>

namespace claw::test {
namespace {

std::string DigestOf(std::string_view text) {
  uint64_t hash = 1469598103934665603u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  std::array<char, 65> digits{};
  std::snprintf(digits.data(), digits.size(), "%064llx", static_cast<unsigned long long>(hash));
  return StrCat("sha256:", digits.data());
}

template <typename T>
T OrThrow(StatusOr<T> value) {
  if (!value.ok()) throw std::runtime_error(ToLogString(value.status()));
  return *std::move(value);
}

}  // namespace

StatusOr<Image> FakeImages::Pull(const std::string& reference, bool /*insecure*/,
                                 const image::Progress& progress) {
  return Import(reference, reference, progress);
}

StatusOr<Image> FakeImages::Import(const std::string& source, const std::string& reference,
                                   const image::Progress& progress) {
  if (source.find("missing") != std::string::npos) {
    return MakeError(StatusCode::kNotFound, "there is no such image",
                     {.reason = "IMAGE_NOT_FOUND", .constraint = "source"});
  }
  for (int i = 0; progress && i < 100; ++i) progress("fetching", StrCat(i, " of 100"));
  if (progress) progress("unpacking", "");
  Image image;
  image.digest = DigestOf(source);
  if (!reference.empty()) image.names = {*image::NormalizeReference(reference)};
  image.architecture = "amd64";
  image.entrypoint = {"/bin/app"};
  image.env = {"PATH=/bin"};
  if (source.find("labelled") != std::string::npos) {
    image.labels[kProbeLabel] = "/bin/check --deep 'two words'";
  }
  std::filesystem::create_directories(RootfsPath(image.digest));
  return image;
}

std::filesystem::path FakeImages::RootfsPath(const std::string& digest) const {
  return root_ / digest;
}

Status FakeImages::Remove(const std::string& digest) {
  std::error_code ignored;
  std::filesystem::remove_all(RootfsPath(digest), ignored);
  return absl::OkStatus();
}

NodeFixture::NodeFixture()
    : pool_(std::make_unique<lifecycle::BlockingPool>(4, 64)),
      store_(OrThrow(store::Store::Open({.path = dir_.path() / "clawlet.db"}))),
      images_(dir_.path() / "images"),
      runc_("runc", IsolationClass::kContainer, world_),
      gvisor_("gvisor", IsolationClass::kGvisor, world_),
      hardened_("hardened", IsolationClass::kLegacyHardened, world_),
      busy_(strand_.get_executor()) {
  std::signal(SIGPIPE, SIG_IGN);
  lifecycle::NodeConfig config;
  config.node_id = "node-under-test";
  config.capacity_bytes = 8 * kGiB;
  lifecycle::NodeDeps deps{.strand = strand_.get_executor(),
                           .pool = *pool_,
                           .store = *store_,
                           .images = images_,
                           .drivers = {&runc_, &gvisor_, &hardened_},
                           .clock = clock_,
                           .host = {}};
  deps.host.architecture = "amd64";
  deps.host.boot_id = "boot";
  deps.host.cpus = 2;
  node_ = std::make_unique<lifecycle::Node>(std::move(deps), std::move(config));
  context_ = std::make_unique<rpc::Context>(rpc::Context{.strand = strand_.get_executor(),
                                                         .node = *node_,
                                                         .pool = *pool_,
                                                         .clock = clock_,
                                                         .agent_version = "9.9",
                                                         .cgroup_mode = "v2",
                                                         .log_fault = {}});
  thread_ = std::thread([this] { strand_.run(); });
  const Status recovered = Run(node_->Recover(store_->TakeSnapshot(), {}));
  if (!recovered.ok()) throw std::runtime_error(ToLogString(recovered));
}

NodeFixture::~NodeFixture() {
  Run(node_->Drain());
  pool_->Join();
  strand_.stop();
  thread_.join();
}

}  // namespace claw::test
