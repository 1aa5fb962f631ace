#include <fcntl.h>
#include <unistd.h>

#include "agent/lifecycle/vms.h"
#include "agent/rpc/convert.h"
#include "agent/rpc/names.h"
#include "agent/rpc/progress_lines.h"
#include "agent/rpc/reactors.h"
#include "agent/rpc/services.h"
#include "agent/rpc/task_group.h"
#include "claw/node/v1/vm.grpc.pb.h"

namespace claw::rpc {
namespace {

using google::protobuf::Empty;

constexpr std::chrono::milliseconds kLongestGrace = std::chrono::hours(1);
constexpr size_t kChunkBytes = 64 * 1024;
// A file of the hypervisor's: nothing tells of each line.
constexpr std::chrono::milliseconds kConsoleInterval = std::chrono::milliseconds(250);

pb::VmState ToProto(VmState state) {
  switch (state) {
    case VmState::kStopped:
      return pb::VM_STATE_STOPPED;
    case VmState::kStarting:
      return pb::VM_STATE_STARTING;
    case VmState::kRunning:
      return pb::VM_STATE_RUNNING;
    case VmState::kSuspended:
      return pb::VM_STATE_SUSPENDED;
    case VmState::kStopping:
      return pb::VM_STATE_STOPPING;
    case VmState::kLost:
      return pb::VM_STATE_LOST;
  }
  return pb::VM_STATE_UNSPECIFIED;
}

void SetGuest(const drivers::GuestLook& look, pb::GuestSummary* out) {
  out->set_agent_version(look.agent_version);
  out->set_boot_id(look.boot_id);
  out->set_architecture(look.architecture);
  out->set_kernel_version(look.kernel_version);
  out->set_page_size_bytes(look.page_size_bytes);
  out->set_cpus(look.cpus);
  out->set_pressure(look.pressure);
  pb::NodeMemory* memory = out->mutable_memory();
  memory->set_capacity_bytes(look.capacity_bytes);
  memory->set_reserved_bytes(look.capacity_bytes - look.allocatable_bytes);
  memory->set_allocatable_bytes(look.allocatable_bytes);
  memory->set_charged_bytes(look.charged_bytes);
  memory->set_available_bytes(look.allocatable_bytes - look.charged_bytes);
  out->set_active_sandboxes(look.active_sandboxes);
  out->set_ready(look.ready);
  out->set_problem(look.problem);
}

pb::Vm ToProto(const lifecycle::VmView& view) {
  const Vm& vm = view.vm;
  pb::Vm proto;
  proto.set_name(StrCat("vms/", vm.spec.name));
  pb::VmSpec* spec = proto.mutable_spec();
  spec->set_display_name(vm.spec.name);
  spec->set_cpus(vm.spec.cpus);
  spec->set_memory_bytes(vm.spec.memory_bytes);
  spec->set_disk_bytes(vm.spec.disk_bytes);
  proto.set_state(ToProto(vm.state));
  proto.set_revision(vm.revision);
  proto.set_domain_type(view.domain_type);
  proto.set_emulated(view.emulated);
  proto.set_overhead_bytes(vm.overhead_bytes);
  proto.set_charged_bytes(ChargedBytes(vm));
  proto.set_image_digest(vm.image_digest);
  proto.set_image_outdated(view.image_outdated);
  if (vm.cordoned) proto.mutable_cordon()->set_reason(vm.cordon_reason);
  proto.set_failure(vm.failure);
  SetTime(vm.created_at, proto.mutable_create_time());
  if (vm.started_at != Time{}) SetTime(vm.started_at, proto.mutable_start_time());
  if (vm.certificate_expires_at != Time{}) {
    SetTime(vm.certificate_expires_at, proto.mutable_certificate_expire_time());
  }
  if (!HoldsMemory(vm.state)) return proto;
  pb::VmMemory* memory = proto.mutable_memory();
  memory->set_balloon_bytes(view.memory.balloon_bytes);
  memory->set_resident_bytes(view.memory.resident_bytes);
  memory->set_balloon_target_bytes(BalloonOf(vm));
  memory->set_overhead_bytes(view.memory.overhead_bytes);
  memory->set_measured_overhead_bytes(vm.measured_overhead_bytes);
  if (!view.guest) return proto;
  memory->set_guest_total_bytes(view.guest->memory_total_bytes);
  memory->set_guest_available_bytes(view.guest->memory_available_bytes);
  SetGuest(*view.guest, proto.mutable_guest());
  return proto;
}

lifecycle::Node::Vms& VmsOf(const Context& context) { return context.node.vms(); }

StatusOr<pb::Vm> Show(const Context& context, const StatusOr<Vm>& vm) {
  if (!vm.ok()) return vm.status();
  const StatusOr<lifecycle::VmView> view = VmsOf(context).Get(vm->spec.name);
  // Only checked, or removed since.
  if (!view.ok()) return ToProto(lifecycle::VmView{.vm = *vm});
  return ToProto(*view);
}

Task<StatusOr<pb::ListVmsResponse>> ListVms(const Context& context,
                                            const pb::ListVmsRequest& /*request*/) {
  lifecycle::Node::Vms& vms = VmsOf(context);
  co_await vms.Look();
  pb::ListVmsResponse response;
  for (const lifecycle::VmView& view : vms.List()) *response.add_vms() = ToProto(view);
  response.set_domain_type(vms.hypervisor().domain_type);
  response.set_problem(vms.enabled() ? vms.problem() : "");
  co_return response;
}

Task<StatusOr<pb::Vm>> GetVm(const Context& context, const pb::GetVmRequest& request) {
  CO_ASSIGN_OR_RETURN(const std::string name, ParseVmName("name", request.name()));
  co_await VmsOf(context).Look();
  CO_ASSIGN_OR_RETURN(const lifecycle::VmView view, VmsOf(context).Get(name));
  co_return ToProto(view);
}

Task<StatusOr<pb::Vm>> CreateVm(const Context& context, const pb::CreateVmRequest& request,
                                const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  VmSpec spec{.name = request.spec().display_name(),
              .cpus = request.spec().cpus(),
              .memory_bytes = request.spec().memory_bytes(),
              .disk_bytes = request.spec().disk_bytes()};
  const auto vm = co_await VmsOf(context).Create(MakeCall(request, actor), std::move(spec),
                                                 request.validate_only());
  co_return Show(context, vm);
}

Task<Status> StartVm(const Context& context, const pb::StartVmRequest& request,
                     const std::string& actor, Sink<pb::VmProgress>& sink) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseVmName("name", request.name()));
  const auto lines = std::make_shared<ProgressLines<pb::VmProgress>>(context.strand);
  TaskGroup group(context.strand);
  group.Spawn([&] { return lines->Forward(sink); });
  auto tell = [lines](std::string message) { lines->Add(std::move(message)); };
  const auto vm = co_await VmsOf(context).Start(MakeCall(request, actor), name, std::move(tell));
  co_await group.Stop();
  pb::VmProgress last;
  last.set_message("runs");
  CO_ASSIGN_OR_RETURN(*last.mutable_vm(), Show(context, vm));
  co_await sink.Write(std::move(last));
  co_return absl::OkStatus();
}

Task<StatusOr<pb::Vm>> StopVm(const Context& context, const pb::StopVmRequest& request,
                              const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseVmName("name", request.name()));
  std::optional<std::chrono::milliseconds> grace;
  if (request.has_grace_period()) {
    CO_ASSIGN_OR_RETURN(grace,
                        ParseDuration("grace_period", request.grace_period(), kLongestGrace));
  }
  const auto vm =
      co_await VmsOf(context).Stop(MakeCall(request, actor), name, grace, request.force());
  co_return Show(context, vm);
}

Task<StatusOr<pb::Vm>> RestartGuestAgent(const Context& context,
                                         const pb::RestartGuestAgentRequest& request,
                                         const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseVmName("name", request.name()));
  const auto vm =
      co_await VmsOf(context).RestartAgent(MakeCall(request, actor), name, request.at_once());
  co_return Show(context, vm);
}

Task<StatusOr<pb::Vm>> SuspendVm(const Context& context, const pb::SuspendVmRequest& request,
                                 const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseVmName("name", request.name()));
  const auto vm = co_await VmsOf(context).Suspend(MakeCall(request, actor), name);
  co_return Show(context, vm);
}

Task<StatusOr<pb::Vm>> DrainVm(const Context& context, const pb::DrainVmRequest& request,
                               const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseVmName("name", request.name()));
  const auto vm = co_await VmsOf(context).Drain(MakeCall(request, actor), name, request.reason());
  co_return Show(context, vm);
}

Task<StatusOr<pb::Vm>> CordonVm(const Context& context, const pb::CordonVmRequest& request,
                                const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseVmName("name", request.name()));
  const auto vm = co_await VmsOf(context).Cordon(MakeCall(request, actor), name, request.cordoned(),
                                                 request.reason());
  co_return Show(context, vm);
}

Task<StatusOr<Empty>> DeleteVm(const Context& context, const pb::DeleteVmRequest& request,
                               const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseVmName("name", request.name()));
  const Status status = co_await VmsOf(context).Delete(MakeCall(request, actor), name,
                                                       request.force(), request.allow_missing());
  if (!status.ok()) co_return status;
  co_return Empty();
}

Task<StatusOr<pb::GuestImage>> GetGuestImage(const Context& context,
                                             const pb::GetGuestImageRequest& /*request*/) {
  CO_ASSIGN_OR_RETURN(const vm::GuestImageFacts facts, co_await VmsOf(context).CheckImage());
  pb::GuestImage image;
  image.set_digest(facts.digest);
  image.set_folder(facts.folder.string());
  image.set_architecture(facts.architecture);
  image.set_kernel_version(facts.kernel_version);
  image.set_agent_version(facts.agent_version);
  image.set_size_bytes(facts.size_bytes);
  for (const vm::GuestImageFacts::Package& package : facts.packages) {
    pb::GuestImage::Package* out = image.add_packages();
    out->set_name(package.name);
    out->set_version(package.version);
    out->set_sha256(package.sha256);
  }
  co_return image;
}

// The file's next bytes; empty: there are none now. A boot empties the file.
StatusOr<std::string> ReadConsole(int fd, int64_t& at) {
  const off_t size = ::lseek(fd, 0, SEEK_END);
  if (size < 0) return ErrnoError(errno, "read the console's log");
  if (size < at) at = 0;
  std::string data(kChunkBytes, '\0');
  const ssize_t got = ::pread(fd, data.data(), data.size(), static_cast<off_t>(at));
  if (got < 0) return ErrnoError(errno, "read the console's log");
  data.resize(static_cast<size_t>(got));
  at += got;
  return data;
}

Task<Status> StreamConsole(const Context& context, const pb::StreamConsoleRequest& request,
                           Sink<pb::ConsoleChunk>& sink) {
  CO_ASSIGN_OR_RETURN(const std::string name, ParseVmName("name", request.name()));
  CO_ASSIGN_OR_RETURN(const std::filesystem::path path, VmsOf(context).ConsolePath(name));
  const auto log = std::make_shared<UniqueFd>(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!log->valid() && errno != ENOENT) co_return ErrnoError(errno, "open the console's log");
  if (!log->valid()) co_return absl::OkStatus();  // it was never started
  const auto at = std::make_shared<int64_t>(0);
  if (request.tail_bytes() < 0) co_return BadField("tail_bytes", "is less than 0");
  const int64_t size = ::lseek(log->get(), 0, SEEK_END);
  if (request.tail_bytes() > 0) *at = std::max<int64_t>(0, size - request.tail_bytes());
  for (;;) {
    auto read = [log, at] { return ReadConsole(log->get(), *at); };
    StatusOr<std::string> data = co_await context.pool.Run(std::move(read));
    if (!data.ok()) co_return data.status();
    if (!data->empty()) {
      pb::ConsoleChunk chunk;
      chunk.set_data(*std::move(data));
      const bool taken = co_await sink.Write(std::move(chunk));
      if (!taken) co_return CallerGone();
      continue;
    }
    const auto view = VmsOf(context).Get(name);
    const bool over = !view.ok() || !HoldsMemory(view->vm.state);
    if (!request.follow() || over) co_return absl::OkStatus();
    asio::steady_timer pause(context.strand, kConsoleInterval);
    boost::system::error_code ignored;
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    const bool cancelled = co_await lifecycle::IsCancelled();
    if (cancelled) co_return CallerGone();
  }
}

using CallContext = grpc::CallbackServerContext;
using enum WhenCallerLeaves;

class VmService final : public pb::VmService::CallbackService {
 public:
  explicit VmService(const Context& context) : context_(context) {}

  grpc::ServerUnaryReactor* ListVms(CallContext* /*call*/, const pb::ListVmsRequest* request,
                                    pb::ListVmsResponse* response) override {
    return Unary(context_, kCancel, request, response, rpc::ListVms);
  }
  grpc::ServerUnaryReactor* GetVm(CallContext* /*call*/, const pb::GetVmRequest* request,
                                  pb::Vm* response) override {
    return Unary(context_, kCancel, request, response, rpc::GetVm);
  }
  grpc::ServerUnaryReactor* CreateVm(CallContext* call, const pb::CreateVmRequest* request,
                                     pb::Vm* response) override {
    return Change(context_, *call, request, response, rpc::CreateVm);
  }
  grpc::ServerWriteReactor<pb::VmProgress>* StartVm(CallContext* call,
                                                    const pb::StartVmRequest* request) override {
    return ChangeStream(context_, *call, request, rpc::StartVm);
  }
  grpc::ServerUnaryReactor* RestartGuestAgent(CallContext* call,
                                              const pb::RestartGuestAgentRequest* request,
                                              pb::Vm* response) override {
    return Change(context_, *call, request, response, rpc::RestartGuestAgent);
  }
  grpc::ServerUnaryReactor* StopVm(CallContext* call, const pb::StopVmRequest* request,
                                   pb::Vm* response) override {
    return Change(context_, *call, request, response, rpc::StopVm);
  }
  grpc::ServerUnaryReactor* SuspendVm(CallContext* call, const pb::SuspendVmRequest* request,
                                      pb::Vm* response) override {
    return Change(context_, *call, request, response, rpc::SuspendVm);
  }
  grpc::ServerUnaryReactor* DrainVm(CallContext* call, const pb::DrainVmRequest* request,
                                    pb::Vm* response) override {
    return Change(context_, *call, request, response, rpc::DrainVm);
  }
  grpc::ServerUnaryReactor* CordonVm(CallContext* call, const pb::CordonVmRequest* request,
                                     pb::Vm* response) override {
    return Change(context_, *call, request, response, rpc::CordonVm);
  }
  grpc::ServerUnaryReactor* DeleteVm(CallContext* call, const pb::DeleteVmRequest* request,
                                     Empty* response) override {
    return Change(context_, *call, request, response, rpc::DeleteVm);
  }
  grpc::ServerWriteReactor<pb::ConsoleChunk>* StreamConsole(
      CallContext* /*call*/, const pb::StreamConsoleRequest* request) override {
    return ServerStream(context_, kCancel, request, rpc::StreamConsole);
  }
  grpc::ServerUnaryReactor* GetGuestImage(CallContext* /*call*/,
                                          const pb::GetGuestImageRequest* request,
                                          pb::GuestImage* response) override {
    return Unary(context_, kCancel, request, response, rpc::GetGuestImage);
  }

 private:
  const Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeVmService(const Context& context) {
  return std::make_unique<VmService>(context);
}

}  // namespace claw::rpc
