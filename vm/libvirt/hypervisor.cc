#include "vm/hypervisor.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <optional>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"
#include "vm/libvirt/api.h"
#include "vm/libvirt/event_thread.h"

namespace claw::vm {
namespace {

// Seconds between two questions whether the daemon is there, and how many may stay unanswered.
constexpr int kKeepAliveSeconds = 5;
constexpr unsigned kKeepAliveCount = 3;

std::string Version(unsigned long number) {
  return StrCat(number / 1'000'000, ".", number / 1000 % 1000, ".", number % 1000);
}

DomainState StateOf(int state) {
  switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
    case VIR_DOMAIN_SHUTDOWN:
      return DomainState::kRunning;
    case VIR_DOMAIN_PAUSED:
    case VIR_DOMAIN_PMSUSPENDED:
      return DomainState::kPaused;
    case VIR_DOMAIN_CRASHED:
      return DomainState::kCrashed;
    default:
      return DomainState::kOff;
  }
}

// Whom libvirt tells. It may be in the middle of that when the connection is closed, and on the
// thread of another one: so this belongs to each callback as well.
class Sink {
 public:
  Sink(std::shared_ptr<const LibvirtApi> api, HypervisorOptions options)
      : api_(std::move(api)), options_(std::move(options)) {}

  // What libvirt hands back to a callback, until Forget.
  static void* Hold(std::shared_ptr<Sink> sink) {
    return std::make_unique<std::shared_ptr<Sink>>(std::move(sink)).release();
  }
  static void Forget(void* held) {
    const std::unique_ptr<std::shared_ptr<Sink>> gone(static_cast<std::shared_ptr<Sink>*>(held));
  }
  // Waits for the callback that is under way; nobody is told anything from then on.
  void Close() {
    const std::lock_guard<std::mutex> lock(mutex_);
    options_.on_event = nullptr;
    options_.on_balloon = nullptr;
    options_.on_lost = nullptr;
  }

  static void OnClose(virConnectPtr /*connection*/, int /*reason*/, void* held) {
    Sink& self = **static_cast<std::shared_ptr<Sink>*>(held);
    const std::lock_guard<std::mutex> lock(self.mutex_);
    if (self.options_.on_lost) self.options_.on_lost();
  }

  static void OnLifecycle(virConnectPtr /*connection*/, virDomainPtr domain, int event,
                          int /*detail*/, void* held) {
    Sink& self = **static_cast<std::shared_ptr<Sink>*>(held);
    const std::optional<DomainEvent> told = EventOf(event);
    const std::optional<std::string> vm = self.NameOf(domain);
    if (!told || !vm) return;
    const std::lock_guard<std::mutex> lock(self.mutex_);
    if (self.options_.on_event) self.options_.on_event(*vm, *told);
  }

  static void OnBalloon(virConnectPtr /*connection*/, virDomainPtr domain, unsigned long long kib,
                        void* held) {
    Sink& self = **static_cast<std::shared_ptr<Sink>*>(held);
    const std::optional<std::string> vm = self.NameOf(domain);
    if (!vm) return;
    const std::lock_guard<std::mutex> lock(self.mutex_);
    const int64_t bytes = SaturatingMul(static_cast<int64_t>(kib), kKiB);
    if (self.options_.on_balloon) self.options_.on_balloon(*vm, bytes);
  }

 private:
  // By the domain's name: one that is gone has no XML any more. Who is told knows whether it is
  // his.
  std::optional<std::string> NameOf(virDomainPtr domain) const {
    const std::string name = api_->virDomainGetName(domain);
    const std::string prefix = DomainName(options_.owner, "");
    if (!name.starts_with(prefix)) return std::nullopt;
    return name.substr(prefix.size());
  }

  static std::optional<DomainEvent> EventOf(int event) {
    switch (event) {
      case VIR_DOMAIN_EVENT_STARTED:
        return DomainEvent::kOn;
      case VIR_DOMAIN_EVENT_STOPPED:
      case VIR_DOMAIN_EVENT_CRASHED:
        return DomainEvent::kOff;
      case VIR_DOMAIN_EVENT_SUSPENDED:
        return DomainEvent::kPaused;
      case VIR_DOMAIN_EVENT_RESUMED:
        return DomainEvent::kResumed;
      default:
        return std::nullopt;
    }
  }

  const std::shared_ptr<const LibvirtApi> api_;
  std::mutex mutex_;
  HypervisorOptions options_;
};

class LibvirtHypervisor final : public Hypervisor {
 public:
  LibvirtHypervisor(std::shared_ptr<const LibvirtApi> api, HypervisorOptions options)
      : api_(std::move(api)), options_(std::move(options)) {}

  ~LibvirtHypervisor() override {
    sink_->Close();
    if (connection_ != nullptr) {
      for (const int id : events_) api_->virConnectDomainEventDeregisterAny(connection_, id);
      api_->virConnectUnregisterCloseCallback(connection_, Sink::OnClose);
      api_->virConnectClose(connection_);
    }
    thread_.reset();
  }

  Status Open() {
    ASSIGN_OR_RETURN(thread_, EventThread::Start(api_));
    connection_ = api_->virConnectOpen(options_.uri.c_str());
    if (connection_ == nullptr) {
      return MakeError(StatusCode::kUnavailable,
                       StrCat("libvirt cannot be reached at ", options_.uri, ": ", LastError()),
                       {.reason = "HYPERVISOR_UNREACHABLE",
                        .constraint = "vm.uri",
                        .retry_after = std::chrono::seconds(5)});
    }
    // Drivers that live in this process have nothing to keep alive, and say so.
    api_->virConnectSetKeepAlive(connection_, kKeepAliveSeconds, kKeepAliveCount);
    void* held = Sink::Hold(sink_);
    if (api_->virConnectRegisterCloseCallback(connection_, Sink::OnClose, held, Sink::Forget) < 0) {
      Sink::Forget(held);
      return Failed("watch the connection");
    }
    RETURN_IF_ERROR(
        Watch(VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(Sink::OnLifecycle)));
    // A driver without balloons does not tell of them; who wants to know looks.
    Watch(VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(Sink::OnBalloon))
        .IgnoreError();
    return absl::OkStatus();
  }

  bool IsAlive() const override { return api_->virConnectIsAlive(connection_) == 1; }

  HypervisorVersions versions() const override {
    HypervisorVersions found;
    unsigned long number = 0;
    if (api_->virConnectGetLibVersion(connection_, &number) == 0) found.libvirt = Version(number);
    if (api_->virConnectGetVersion(connection_, &number) == 0) found.hypervisor = Version(number);
    return found;
  }

  Status CheckType(DomainType type, const std::filesystem::path& emulator) const override {
    const std::string program = emulator.string();
    const std::string name(ToString(type));
    char* xml = api_->virConnectGetDomainCapabilities(connection_,
                                                      program.empty() ? nullptr : program.c_str(),
                                                      "aarch64", "virt", name.c_str(), 0);
    const bool able = xml != nullptr;
    std::free(xml);
    if (able) return absl::OkStatus();
    return MakeError(StatusCode::kFailedPrecondition,
                     StrCat("no arm64 machines of the type ", name, " here: ", LastError()),
                     {.reason = "VM_UNSUPPORTED", .constraint = "vm.type", .needed = name});
  }

  StatusOr<std::vector<DomainInfo>> List() const override {
    virDomainPtr* domains = nullptr;
    const int count = api_->virConnectListAllDomains(connection_, &domains, 0);
    if (count < 0) return Failed("list domains");
    std::vector<Domain> all;
    for (int i = 0; i < count; ++i) all.emplace_back(api_.get(), domains[i]);
    std::free(domains);
    std::vector<DomainInfo> mine;
    for (const Domain& domain : all) {
      // One that cannot be asked about is not left out: whoever misses it takes it for gone.
      ASSIGN_OR_RETURN(const std::optional<DomainMark> mark, MarkOf(domain));
      if (!mark || mark->owner != options_.owner) continue;
      ASSIGN_OR_RETURN(const DomainState state, GetState(domain));
      mine.push_back({.vm = mark->vm, .state = state});
    }
    return mine;
  }

  Status Define(const DomainSpec& spec) override {
    RETURN_IF_ERROR(CheckDomain(spec));
    // One of the same name that has another mark is somebody else's.
    RETURN_IF_ERROR(Find(spec.vm).status());
    const std::string xml = ToXml(spec);
    const Domain domain(api_.get(), api_->virDomainDefineXMLFlags(connection_, xml.c_str(),
                                                                  VIR_DOMAIN_DEFINE_VALIDATE));
    return domain ? absl::OkStatus() : Failed("define the domain");
  }

  Status Start(const std::string& vm) override {
    ASSIGN_OR_RETURN(const Domain domain, Get(vm));
    if (api_->virDomainCreate(domain.get()) == 0) return absl::OkStatus();
    if (IsConnectionLost()) return Failed("start the domain");  // it may be on
    return MakeError(StatusCode::kUnavailable, StrCat("start the domain: ", LastError()),
                     {.reason = "VM_START_FAILED", .outcome = Outcome::kUndone});
  }

  Status Destroy(const std::string& vm) override {
    ASSIGN_OR_RETURN(const Domain domain, Find(vm));
    if (!domain) return absl::OkStatus();
    ASSIGN_OR_RETURN(const DomainState state, GetState(domain));
    if (state == DomainState::kOff) return absl::OkStatus();
    if (api_->virDomainDestroy(domain.get()) == 0) return absl::OkStatus();
    const Status failed = Failed("switch the domain off");
    // It may have gone off by itself meanwhile.
    ASSIGN_OR_RETURN(const DomainState now, GetState(domain));
    return now == DomainState::kOff ? absl::OkStatus() : failed;
  }

  Status Undefine(const std::string& vm) override {
    ASSIGN_OR_RETURN(const Domain domain, Find(vm));
    if (!domain) return absl::OkStatus();
    ASSIGN_OR_RETURN(const DomainState state, GetState(domain));
    if (state != DomainState::kOff) {
      // libvirt would take it, and leave one that runs and that nobody can start again.
      return MakeError(StatusCode::kFailedPrecondition,
                       StrCat("VM '", vm, "' is on; switch it off first"),
                       {.reason = "VM_RUNNING", .outcome = Outcome::kRefused});
    }
    if (api_->virDomainUndefineFlags(domain.get(), VIR_DOMAIN_UNDEFINE_NVRAM) == 0) {
      return absl::OkStatus();
    }
    // Drivers without such variables refuse the flag.
    if (api_->virDomainUndefineFlags(domain.get(), 0) == 0) return absl::OkStatus();
    return Failed("remove the domain");
  }

  Status Suspend(const std::string& vm) override {
    ASSIGN_OR_RETURN(const Domain domain, Get(vm));
    ASSIGN_OR_RETURN(const DomainState state, GetState(domain));
    if (state == DomainState::kPaused) return absl::OkStatus();
    return api_->virDomainSuspend(domain.get()) == 0 ? absl::OkStatus() : Failed("suspend it");
  }

  Status Resume(const std::string& vm) override {
    ASSIGN_OR_RETURN(const Domain domain, Get(vm));
    ASSIGN_OR_RETURN(const DomainState state, GetState(domain));
    if (state == DomainState::kRunning) return absl::OkStatus();
    return api_->virDomainResume(domain.get()) == 0 ? absl::OkStatus() : Failed("resume it");
  }

  StatusOr<DomainMemory> GetMemory(const std::string& vm) const override {
    ASSIGN_OR_RETURN(const Domain domain, Get(vm));
    std::array<virDomainMemoryStatStruct, VIR_DOMAIN_MEMORY_STAT_NR> stats{};
    const int count =
        api_->virDomainMemoryStats(domain.get(), stats.data(), VIR_DOMAIN_MEMORY_STAT_NR, 0);
    if (count < 0) return Failed("read its memory");
    DomainMemory memory;
    const unsigned long full = api_->virDomainGetMaxMemory(domain.get());
    memory.full_bytes = SaturatingMul(static_cast<int64_t>(full), kKiB);
    for (int i = 0; i < count; ++i) {
      const virDomainMemoryStatStruct& stat = stats[static_cast<size_t>(i)];
      const auto bytes = static_cast<int64_t>(stat.val) * kKiB;
      if (stat.tag == VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON) memory.balloon_bytes = bytes;
      if (stat.tag == VIR_DOMAIN_MEMORY_STAT_RSS) memory.resident_bytes = bytes;
      if (stat.tag == VIR_DOMAIN_MEMORY_STAT_USABLE) memory.usable_bytes = bytes;
    }
    return memory;
  }

  Status SetMemory(const std::string& vm, int64_t bytes) override {
    ASSIGN_OR_RETURN(const Domain domain, Get(vm));
    const auto kib = static_cast<unsigned long>(bytes / kKiB);
    if (api_->virDomainSetMemoryFlags(domain.get(), kib, VIR_DOMAIN_AFFECT_LIVE) == 0) {
      return absl::OkStatus();
    }
    return Failed("set its balloon");
  }

 private:
  // Owns a reference; may be empty.
  class Domain {
   public:
    Domain(const LibvirtApi* api, virDomainPtr domain) : api_(api), domain_(domain) {}
    Domain(Domain&& other) noexcept : api_(other.api_), domain_(other.domain_) {
      other.domain_ = nullptr;
    }
    Domain(const Domain&) = delete;
    Domain& operator=(const Domain&) = delete;
    ~Domain() {
      if (domain_ != nullptr) api_->virDomainFree(domain_);
    }
    explicit operator bool() const { return domain_ != nullptr; }
    virDomainPtr get() const { return domain_; }

   private:
    const LibvirtApi* api_;
    virDomainPtr domain_;
  };

  Status Watch(int event, virConnectDomainEventGenericCallback callback) {
    void* held = Sink::Hold(sink_);
    const int id = api_->virConnectDomainEventRegisterAny(connection_, nullptr, event, callback,
                                                          held, Sink::Forget);
    if (id >= 0) {
      events_.push_back(id);
      return absl::OkStatus();
    }
    Sink::Forget(held);
    return Failed("watch domains");
  }

  std::string LastError() const {
    const char* text = api_->virGetLastErrorMessage();
    return text == nullptr ? "no reason was given" : text;
  }

  // Whether the last call failed because nobody is there to answer, and not by the answer. The
  // connection is alive for a moment longer than its other end.
  bool IsConnectionLost() const {
    return api_->virGetLastErrorDomain() == VIR_FROM_RPC ||
           api_->virGetLastErrorCode() == VIR_ERR_INVALID_CONN ||
           api_->virGetLastErrorCode() == VIR_ERR_NO_CONNECT;
  }

  Status Failed(std::string_view doing) const {
    const std::string why = StrCat(doing, ": ", LastError());
    if (!IsConnectionLost()) return Internal(why);
    return MakeError(StatusCode::kUnavailable, why,
                     {.reason = "HYPERVISOR_UNREACHABLE", .retry_after = std::chrono::seconds(5)});
  }

  // Absent: it has none, or is gone.
  StatusOr<std::optional<DomainMark>> MarkOf(const Domain& domain) const {
    char* xml = api_->virDomainGetMetadata(domain.get(), VIR_DOMAIN_METADATA_ELEMENT,
                                           kMarkNamespace, VIR_DOMAIN_AFFECT_CURRENT);
    if (xml != nullptr) {
      std::optional<DomainMark> mark = ReadMark(xml);
      std::free(xml);
      return mark;
    }
    const int code = api_->virGetLastErrorCode();
    const bool none = code == VIR_ERR_NO_DOMAIN_METADATA || code == VIR_ERR_NO_DOMAIN;
    if (none) return std::optional<DomainMark>();
    return Failed("read whose domain it is");
  }

  // Empty: there is none. FAILED_PRECONDITION, reason NOT_OURS, if somebody else's is called so.
  StatusOr<Domain> Find(const std::string& vm) const {
    const std::string name = DomainName(options_.owner, vm);
    Domain domain(api_.get(), api_->virDomainLookupByName(connection_, name.c_str()));
    if (!domain) {
      if (api_->virGetLastErrorCode() == VIR_ERR_NO_DOMAIN) return domain;
      return Failed("look for the domain");
    }
    ASSIGN_OR_RETURN(const std::optional<DomainMark> mark, MarkOf(domain));
    if (mark == DomainMark{.owner = options_.owner, .vm = vm}) return domain;
    return MakeError(StatusCode::kFailedPrecondition,
                     StrCat("the domain ", name, " was not made by this agent; it is left alone"),
                     {.reason = "NOT_OURS"});
  }

  StatusOr<Domain> Get(const std::string& vm) const {
    ASSIGN_OR_RETURN(Domain domain, Find(vm));
    if (domain) return domain;
    return MakeError(StatusCode::kNotFound, StrCat("there is no domain of VM '", vm, "'"),
                     {.reason = "VM_NOT_FOUND"});
  }

  // One that is gone is off. Never so for want of an answer: what is off is charged to nobody.
  StatusOr<DomainState> GetState(const Domain& domain) const {
    int state = VIR_DOMAIN_NOSTATE;
    if (api_->virDomainGetState(domain.get(), &state, nullptr, 0) == 0) return StateOf(state);
    if (api_->virGetLastErrorCode() == VIR_ERR_NO_DOMAIN) return DomainState::kOff;
    return Failed("ask whether the domain is on");
  }

  const std::shared_ptr<const LibvirtApi> api_;
  const HypervisorOptions options_;
  const std::shared_ptr<Sink> sink_ = std::make_shared<Sink>(api_, options_);
  std::unique_ptr<EventThread> thread_;
  virConnectPtr connection_ = nullptr;
  std::vector<int> events_;
};

}  // namespace

StatusOr<std::unique_ptr<Hypervisor>> Hypervisor::Connect(HypervisorOptions options) {
  ASSIGN_OR_RETURN(std::shared_ptr<const LibvirtApi> api, LibvirtApi::Load());
  auto hypervisor = std::make_unique<LibvirtHypervisor>(std::move(api), std::move(options));
  RETURN_IF_ERROR(hypervisor->Open());
  return hypervisor;
}

}  // namespace claw::vm
