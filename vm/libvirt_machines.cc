#include "vm/libvirt_machines.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <mutex>
#include <vector>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/unique_fd.h"
#include "agent/host/process_memory.h"
#include "vm/guest_image.h"
#include "vm/hypervisor.h"
#include "vm/libvirt/embedded.h"
#include "vm/machine_files.h"

namespace claw::vm {
namespace {

// Somebody else may take the port between the moment it was found free and QEMU's start.
constexpr int kTries = 3;
// Where the machine's own libvirt notes the processes of its domains.
constexpr const char* kSystemPids = "/run/libvirt/qemu";

StatusOr<int64_t> FindFreePort() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (!socket.valid() || ::bind(socket.get(), generic, size) != 0 ||
      ::getsockname(socket.get(), generic, &size) != 0) {
    return ErrnoError(errno, "find a free port");
  }
  return int64_t{ntohs(address.sin_port)};
}

// In the order of preference.
std::vector<DomainType> Candidates(const std::string& wanted) {
  const StatusOr<DomainType> type = ParseDomainType(wanted);
  if (type.ok()) return {*type};
#if defined(__APPLE__)
  return {DomainType::kHvf};
#elif defined(__aarch64__)
  return {DomainType::kKvm, DomainType::kQemu};
#else
  return {DomainType::kQemu};
#endif
}

MachineEvent Translate(DomainEvent event) {
  switch (event) {
    case DomainEvent::kOn:
      return MachineEvent::kOn;
    case DomainEvent::kPaused:
      return MachineEvent::kSuspended;
    case DomainEvent::kResumed:
      return MachineEvent::kResumed;
    case DomainEvent::kOff:
      break;
  }
  return MachineEvent::kOff;
}

class LibvirtMachines final : public Machines {
 public:
  LibvirtMachines(MachinesOptions options, const Clock& clock)
      : options_(std::move(options)), clock_(clock) {}

  void Listen(Listener listener) override { listener_ = std::move(listener); }

  StatusOr<HypervisorFacts> Connect() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (hypervisor_ && hypervisor_->IsAlive()) return facts_;
    hypervisor_.reset();
    RETURN_IF_ERROR(EnsureDirectory(options_.folder, 0700));
    std::string uri = options_.uri;
    if (uri.empty()) {
      ASSIGN_OR_RETURN(uri, PrepareEmbedded(options_.private_root));
    }
    HypervisorOptions wanted{.uri = std::move(uri), .owner = options_.owner};
    wanted.on_event = [listener = listener_](const std::string& vm, DomainEvent event) {
      if (listener.on_event) listener.on_event(vm, Translate(event));
    };
    wanted.on_balloon = listener_.on_balloon;
    wanted.on_lost = listener_.on_lost;
    ASSIGN_OR_RETURN(std::shared_ptr<Hypervisor> opened, Hypervisor::Connect(std::move(wanted)));
    Status usable = Unavailable("no type of domain was tried");
    for (const DomainType type : Candidates(options_.type)) {
      usable = opened->CheckType(type, options_.emulator);
      if (!usable.ok()) continue;
      type_ = type;
      break;
    }
    RETURN_IF_ERROR(usable);
    const HypervisorVersions versions = opened->versions();
    facts_ = {.domain_type = std::string(ToString(type_)),
              .emulated = type_ == DomainType::kQemu,
              .version = StrCat("libvirt ", versions.libvirt, ", QEMU ", versions.hypervisor)};
    hypervisor_ = std::move(opened);
    return facts_;
  }

  StatusOr<GuestImageFacts> CheckImage() override {
    ASSIGN_OR_RETURN(GuestImage image, ReadGuestImage(options_.image));
    return std::move(image.facts);
  }

  StatusOr<Booted> Boot(const Vm& vm) override {
    ASSIGN_OR_RETURN(const auto hypervisor, Get());
    // Before its files change: the keys there are those of the boot before.
    RETURN_IF_ERROR(CheckOff(*hypervisor, vm.spec.name));
    ASSIGN_OR_RETURN(const GuestImage image, ReadGuestImage(options_.image));
    const MachineFiles files = FilesOf(vm.spec.name);
    Booted booted{.image_digest = image.facts.digest};
    ASSIGN_OR_RETURN(booted.certificate_expires_at,
                     files.Prepare(vm, options_.guest_config, clock_.Now()));
    Status started;
    for (int i = 0; i < kTries; ++i) {
      ASSIGN_OR_RETURN(booted.port, FindFreePort());
      RETURN_IF_ERROR(hypervisor->Define(Describe(vm, image, files, booted.port)));
      started = hypervisor->Start(vm.spec.name);
      const bool taken =
          !started.ok() && started.message().find("host forwarding") != absl::string_view::npos;
      if (!taken) break;
    }
    RETURN_IF_ERROR(started);
    return booted;
  }

  Status PullPlug(const std::string& name) override {
    ASSIGN_OR_RETURN(const auto hypervisor, Get());
    return hypervisor->Destroy(name);
  }
  Status Suspend(const std::string& name) override {
    ASSIGN_OR_RETURN(const auto hypervisor, Get());
    return hypervisor->Suspend(name);
  }
  Status Resume(const std::string& name) override {
    ASSIGN_OR_RETURN(const auto hypervisor, Get());
    return hypervisor->Resume(name);
  }

  Status Remove(const std::string& name) override {
    ASSIGN_OR_RETURN(const auto hypervisor, Get());
    RETURN_IF_ERROR(hypervisor->Undefine(name));
    return FilesOf(name).Remove();
  }

  StatusOr<std::vector<MachineState>> List() override {
    ASSIGN_OR_RETURN(const auto hypervisor, Get());
    ASSIGN_OR_RETURN(const std::vector<DomainInfo> domains, hypervisor->List());
    std::vector<MachineState> states;
    for (const DomainInfo& domain : domains) {
      states.push_back(
          {.name = domain.vm,
           .on = domain.state == DomainState::kRunning || domain.state == DomainState::kPaused,
           .suspended = domain.state == DomainState::kPaused});
    }
    return states;
  }

  StatusOr<MachineMemory> GetMemory(const std::string& name) override {
    ASSIGN_OR_RETURN(const auto hypervisor, Get());
    ASSIGN_OR_RETURN(const DomainMemory memory, hypervisor->GetMemory(name));
    return MachineMemory{.balloon_bytes = memory.balloon_bytes,
                         .resident_bytes = memory.resident_bytes,
                         .overhead_bytes = OverheadOf(name, memory.full_bytes).value_or(0)};
  }

  Status SetBalloon(const std::string& name, int64_t bytes) override {
    ASSIGN_OR_RETURN(const auto hypervisor, Get());
    return hypervisor->SetMemory(name, bytes);
  }

  StatusOr<GuestCredentials> ReadCredentials(const std::string& name) override {
    return FilesOf(name).ReadCredentials();
  }
  std::filesystem::path ConsolePath(const std::string& name) const override {
    return FilesOf(name).console();
  }

 private:
  MachineFiles FilesOf(const std::string& name) const {
    return MachineFiles(options_.folder, name);
  }

  // Stays there for who has it while another takes its place.
  StatusOr<std::shared_ptr<Hypervisor>> Get() {
    RETURN_IF_ERROR(Connect().status());
    const std::lock_guard<std::mutex> lock(mutex_);
    return hypervisor_;
  }

  // Of the process that libvirt notes for it, in a file that only root writes.
  StatusOr<int64_t> OverheadOf(const std::string& name, int64_t guest_bytes) const {
    const std::string domain = DomainName(options_.owner, name);
    std::filesystem::path folder = kSystemPids;
    if (options_.uri.empty()) folder = options_.private_root / "run/qemu";
    ASSIGN_OR_RETURN(const std::string text, ReadFile(folder / StrCat(domain, ".pid"), 64));
    int64_t pid = 0;
    if (!ParseInt(Trim(text), &pid)) return DataLoss("'", text, "' is no process");
    return host::ResidentBeside(static_cast<pid_t>(pid), guest_bytes);
  }

  static Status CheckOff(const Hypervisor& hypervisor, const std::string& name) {
    ASSIGN_OR_RETURN(const std::vector<DomainInfo> domains, hypervisor.List());
    for (const DomainInfo& domain : domains) {
      if (domain.vm != name || domain.state == DomainState::kOff) continue;
      return MakeError(StatusCode::kFailedPrecondition, StrCat("VM '", name, "' is on already"),
                       {.reason = "VM_RUNNING"});
    }
    return absl::OkStatus();
  }

  DomainSpec Describe(const Vm& vm, const GuestImage& image, const MachineFiles& files,
                      int64_t port) const {
    DomainSpec spec{.owner = options_.owner,
                    .vm = vm.spec.name,
                    .uuid = vm.uuid,
                    .type = type_,
                    .emulator = options_.emulator,
                    .cpus = vm.spec.cpus,
                    .memory_bytes = vm.spec.memory_bytes,
                    .host_port = port,
                    .console_log = files.console()};
    spec.direct = DirectBoot{
        .kernel = image.kernel, .initramfs = image.initramfs, .command_line = image.command_line};
    spec.disks = {{.file = image.root, .serial = std::string(kRootSerial), .read_only = true},
                  {.file = files.seed(), .serial = std::string(kSeedSerial), .read_only = true},
                  {.file = files.state(), .serial = std::string(kStateSerial), .read_only = false}};
    return spec;
  }

  const MachinesOptions options_;
  const Clock& clock_;
  Listener listener_;
  std::mutex mutex_;  // two threads may find at once that there is no connection
  std::shared_ptr<Hypervisor> hypervisor_;
  DomainType type_ = DomainType::kQemu;
  HypervisorFacts facts_;
};

}  // namespace

std::unique_ptr<Machines> MakeLibvirtMachines(MachinesOptions options, const Clock& clock) {
  return std::make_unique<LibvirtMachines>(std::move(options), clock);
}

}  // namespace claw::vm
