#include "tests/unit/rpc/node_fixture.h"

#include <SQLiteCpp/SQLiteCpp.h>

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
                                 const std::string& signer, const image::Progress& progress) {
  return Import(reference, reference, signer, progress);
}

StatusOr<Image> FakeImages::Import(const std::string& source, const std::string& reference,
                                   const std::string& signer, const image::Progress& progress) {
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
  if (!signer.empty()) image.signers = {signer};
  std::filesystem::create_directories(RootfsPath(image.digest));
  const std::lock_guard lock(mutex_);
  on_disk_[image.digest] = image;
  return image;
}

StatusOr<image::ImageStore::Scan> FakeImages::ScanDisk() {
  const std::lock_guard lock(mutex_);
  Scan scan;
  for (const auto& [digest, image] : on_disk_) scan.images.push_back(image);
  return scan;
}

std::filesystem::path FakeImages::RootfsPath(const std::string& digest) const {
  return root_ / digest;
}

Status FakeImages::Remove(const std::string& digest) {
  std::error_code ignored;
  std::filesystem::remove_all(RootfsPath(digest), ignored);
  const std::lock_guard lock(mutex_);
  on_disk_.erase(digest);
  return absl::OkStatus();
}

NodeFixture::NodeFixture(lifecycle::NodeConfig config)
    : config_(std::move(config)), images_(dir_.path() / "images") {
  config_.node_id = "node-under-test";
  config_.capacity_bytes = 8 * kGiB;
  config_.measure_interval = std::chrono::hours(1);  // tests say when
  config_.pressure_interval = std::chrono::hours(1);
  config_.shortest_look = std::chrono::seconds(0);
  config_.vms.defaults = {.cpus = 2, .memory_bytes = kGiB, .disk_bytes = 4 * kGiB};
  config_.vms.overhead_bytes = 64 * kMiB;
  config_.vms.look_interval = std::chrono::hours(1);
  config_.vms.start_timeout = std::chrono::seconds(20);
  config_.vms.stop_grace = std::chrono::seconds(20);
  std::signal(SIGPIPE, SIG_IGN);
  Start();
}

NodeFixture::~NodeFixture() { Stop(); }

void NodeFixture::Restart() {
  Stop();
  StartAgain();
}

void NodeFixture::Crash(const std::function<void()>& meanwhile) {
  StopAtOnce(meanwhile);
  // A process that is killed runs no destructors: what was under way stays as it was, for ever.
  static auto& graveyard = *new std::vector<std::unique_ptr<boost::asio::io_context>>;
  graveyard.push_back(std::move(strands_.back()));
  strands_.pop_back();
  StartAgain();
}

void NodeFixture::Damage(const std::string& sql) {
  Stop();
  StartAgain([&] {
    SQLite::Database db((dir_.path() / "clawlet.db").string(), SQLite::OPEN_READWRITE);
    db.exec(sql);
  });
}

void NodeFixture::StartAgain(const std::function<void()>& before) {
  context_.reset();
  node_.reset();
  drivers_.clear();
  store_.reset();
  pool_.reset();
  networks_.ForgetAgent();
  if (before) before();
  Start();
}

void NodeFixture::ChangeMachine(const std::function<void(MachineFacts&)>& change) {
  const std::lock_guard lock(machine_mutex_);
  change(machine_);
}

MemoryPressure NodeFixture::ChangePressure(const std::function<void(MemoryPressure&)>& change) {
  const std::lock_guard lock(machine_mutex_);
  if (!pressure_.ok()) pressure_ = MemoryPressure{.available_bytes = 8 * kGiB};
  change(*pressure_);
  return *pressure_;
}

void NodeFixture::ChangeRoom(const HostRoom& room) {
  const std::lock_guard lock(machine_mutex_);
  room_ = room;
}

void NodeFixture::FailPressure(Status why) {
  const std::lock_guard lock(machine_mutex_);
  pressure_ = std::move(why);
}

void NodeFixture::Start() {
  strands_.push_back(std::make_unique<boost::asio::io_context>());
  boost::asio::io_context& strand = *strands_.back();
  pool_ = std::make_unique<lifecycle::BlockingPool>(4, 64);
  store_ = OrThrow(store::Store::Open({.path = dir_.path() / "clawlet.db"}));
  for (const auto& [name, isolation] :
       {std::pair("runc", IsolationClass::kContainer), std::pair("gvisor", IsolationClass::kGvisor),
        std::pair("hardened", IsolationClass::kLegacyHardened)}) {
    drivers_.push_back(std::make_unique<drivers::FakeDriver>(name, isolation, world_));
  }
  lifecycle::NodeDeps deps{.strand = strand.get_executor(),
                           .pool = *pool_,
                           .store = *store_,
                           .images = images_,
                           .drivers = {},
                           .clock = *clock_,
                           .host = {},
                           .networks = &networks_,
                           .read_facts = [this]() -> StatusOr<MachineFacts> {
                             const std::lock_guard lock(machine_mutex_);
                             return machine_;
                           },
                           .limit_memory = [this](int64_t bytes) -> Status {
                             return limit_memory ? limit_memory(bytes) : absl::OkStatus();
                           },
                           .read_pressure = [this]() -> StatusOr<MemoryPressure> {
                             const std::lock_guard lock(machine_mutex_);
                             return pressure_;
                           },
                           .read_room = [this]() -> StatusOr<HostRoom> {
                             const std::lock_guard lock(machine_mutex_);
                             return room_;
                           },
                           .shrink_caches = [this]() -> std::string {
                             const std::lock_guard lock(machine_mutex_);
                             return StrCat("shrunk ", ++shrunk_, " times");
                           },
                           .vms = vms_.MakeDeps()};
  for (const auto& driver : drivers_) deps.drivers.push_back(driver.get());
  deps.host.architecture = "amd64";
  deps.host.boot_id = "boot";
  deps.host.cpus = 2;
  deps.host.page_size_bytes = 4096;
  node_ = std::make_unique<lifecycle::Node>(std::move(deps), config_);
  context_ = std::make_unique<rpc::Context>(rpc::Context{.strand = strand.get_executor(),
                                                         .node = *node_,
                                                         .pool = *pool_,
                                                         .clock = *clock_,
                                                         .agent_version = "9.9",
                                                         .cgroup_mode = "v2",
                                                         .log_fault = {}});
  thread_ = std::thread([&strand] {
    const auto busy = boost::asio::make_work_guard(strand);
    strand.run();
  });
  const Status recovered = Run(node_->Recover(store_->TakeSnapshot(), store_->quarantined()));
  if (!recovered.ok()) throw std::runtime_error(ToLogString(recovered));
}

void NodeFixture::Stop() {
  Run(node_->Drain());
  StopAtOnce();
}

void NodeFixture::StopAtOnce(const std::function<void()>& meanwhile) {
  strands_.back()->stop();
  thread_.join();
  if (meanwhile) meanwhile();
  pool_->Join();
}

}  // namespace claw::test
