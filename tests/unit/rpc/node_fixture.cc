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

StatusOr<Image> FakeImages::Pull(const std::string& reference, const std::string& architecture,
                                 bool /*insecure*/, const std::string& signer,
                                 const image::Progress& progress) {
  return Import(reference, architecture, reference, signer, progress);
}

StatusOr<Image> FakeImages::Import(const std::string& source, const std::string& architecture,
                                   const std::string& reference, const std::string& signer,
                                   const image::Progress& progress) {
  if (source.find("missing") != std::string::npos) {
    return MakeError(StatusCode::kNotFound, "there is no such image",
                     {.reason = "IMAGE_NOT_FOUND", .constraint = "source"});
  }
  const bool for_both = source.find("both") != std::string::npos;
  const bool for_arm64 = source.find("arm64") != std::string::npos;
  if (!for_both && (architecture == "arm64") != for_arm64) {
    return MakeError(StatusCode::kInvalidArgument, "the image is for another architecture",
                     {.reason = "UNSUPPORTED_ARCHITECTURE"});
  }
  for (int i = 0; progress && i < 100; ++i) progress("fetching", StrCat(i, " of 100"));
  if (progress) progress("unpacking", "");
  Image image;
  image.digest = DigestOf(for_both ? StrCat(source, " ", architecture) : source);
  if (!reference.empty()) image.names = {*image::NormalizeReference(reference)};
  image.architecture = architecture;
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

class FakeImages::Arriving final : public image::Incoming {
 public:
  Arriving(FakeImages& images, Image image) : images_(images), image_(std::move(image)) {
    already_there_ = Count(1);
  }
  ~Arriving() override { Count(-1); }

  bool already_there() const override { return already_there_; }
  Status Write(std::string_view bytes) override {
    bytes_ += bytes;
    const std::lock_guard lock(images_.mutex_);
    return images_.write_failure_;
  }
  StatusOr<Image> Finish() override {
    std::filesystem::create_directories(images_.RootfsPath(image_.digest));
    const std::lock_guard lock(images_.mutex_);
    if (!already_there_) images_.received_[image_.digest] = bytes_;
    images_.on_disk_[image_.digest] = image_;
    return image_;
  }

 private:
  // Answers whether the image is there.
  bool Count(int more) {
    const std::lock_guard lock(images_.mutex_);
    images_.incoming_ += more;
    images_.changed_.notify_all();
    return images_.on_disk_.count(image_.digest) > 0;
  }

  FakeImages& images_;
  const Image image_;
  bool already_there_ = false;
  std::string bytes_;
};

StatusOr<std::unique_ptr<image::Incoming>> FakeImages::Receive(const Image& image) {
  return std::make_unique<Arriving>(*this, image);
}

bool FakeImages::AwaitIncoming(int count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return incoming_ == count; });
}

std::optional<std::string> FakeImages::Received(const std::string& digest) {
  const std::lock_guard lock(mutex_);
  const auto it = received_.find(digest);
  if (it == received_.end()) return std::nullopt;
  return it->second;
}

void FakeImages::FailWrites(Status why) {
  const std::lock_guard lock(mutex_);
  write_failure_ = std::move(why);
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
  config_.vms.balloon_rest = std::chrono::seconds(0);
  config_.vms.balloon_timeout = std::chrono::seconds(20);
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
