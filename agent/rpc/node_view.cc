#include "agent/rpc/node_view.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "agent/rpc/budget_calls.h"
#include "agent/rpc/convert.h"
#include "agent/rpc/event_feed.h"
#include "agent/rpc/names.h"

namespace claw::rpc {
namespace {

constexpr std::chrono::milliseconds kShortest = std::chrono::milliseconds(50);
constexpr std::chrono::milliseconds kUsual = std::chrono::milliseconds(200);
constexpr std::chrono::milliseconds kLongest = std::chrono::minutes(1);

void SetHost(const host::HostInfo& host, pb::Node* out) {
  out->set_boot_id(host.boot_id);
  out->set_os(host.os);
  out->set_architecture(host.architecture);
  out->set_kernel_version(host.kernel_version);
  out->set_page_size_bytes(host.page_size_bytes);
  out->set_cpus(host.cpus);
}

void SetDriver(const lifecycle::DriverState& state, pb::DriverStatus* status) {
  const drivers::Fingerprint& found = state.fingerprint;
  status->set_name(std::string(state.driver->name()));
  status->set_healthy(found.healthy);
  status->set_message(found.message);
  status->set_runtime_version(found.runtime_version);
  status->set_runtime_path(found.runtime_path);
  status->set_platform(found.platform);
  status->set_overhead_prior_bytes(found.overhead_prior_bytes);
  status->mutable_capabilities()->Assign(found.capabilities.begin(), found.capabilities.end());
}

void SetCounts(const lifecycle::Node& node, pb::Node* out) {
  const lifecycle::NodeCounts counts = node.counts();
  out->set_active_sandboxes(static_cast<int32_t>(counts.active_sandboxes));
  out->set_total_sandboxes(static_cast<int32_t>(counts.sandboxes));
  out->set_tenants(static_cast<int32_t>(counts.tenants));
  out->set_images(static_cast<int32_t>(counts.images));
}

// The same bytes for the same content: a map's order is not.
std::string ToBytes(const pb::Node& node) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream text(&bytes);
    google::protobuf::io::CodedOutputStream out(&text);
    out.SetSerializationDeterministic(true);
    node.SerializeToCodedStream(&out);
  }
  return bytes;
}

void SetCordon(const NodeState& state, pb::Cordon* out) {
  out->set_reason(state.cordon_reason);
  out->set_cordoned_by(state.cordoned_by);
  SetTime(state.cordoned_at, out->mutable_cordon_time());
}

std::string ToText(const placement::Taint& taint) {
  return taint.value.empty() ? taint.key : StrCat(taint.key, "=", taint.value);
}

// Sends the newest state when something has happened, and never more often than `interval`.
class NodeWatch {
 public:
  NodeWatch(const Context& context, Sink<pb::NodeChange>& sink, std::chrono::milliseconds interval)
      : context_(context), sink_(sink), interval_(interval), events_(context.node.Subscribe()) {}

  Task<Status> Follow(int64_t resume_revision) {
    co_await asio::this_coro::throw_if_cancelled(false);
    if (resume_revision == 0 || context_.node.revision() > resume_revision) {
      CO_RETURN_IF_ERROR(co_await SendIfNew());
    }
    for (bool is_behind = false;;) {
      if (!is_behind) {
        const auto event = co_await events_->Next();
        if (!event.ok()) co_return event.status();
      }
      CO_RETURN_IF_ERROR(co_await SendIfNew());
      asio::steady_timer pause(context_.strand, interval_);
      boost::system::error_code ignored;
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      const bool cancelled = co_await lifecycle::IsCancelled();
      if (cancelled) co_return CallerGone();
      // What came meanwhile is in the state that is sent next.
      is_behind = events_->Discard();
    }
  }

 private:
  Task<Status> SendIfNew() {
    pb::NodeChange change;
    *change.mutable_node() = ShowNode(context_);
    change.set_revision(change.node().revision());
    // An event that changes nothing that is shown here is no change of the node.
    pb::Node plain = change.node();
    plain.clear_revision();
    std::string bytes = ToBytes(plain);
    if (bytes == sent_) co_return absl::OkStatus();
    sent_ = std::move(bytes);
    const bool taken = co_await sink_.Write(std::move(change));
    if (!taken) co_return CallerGone();
    co_return absl::OkStatus();
  }

  const Context& context_;
  Sink<pb::NodeChange>& sink_;
  const std::chrono::milliseconds interval_;
  std::unique_ptr<lifecycle::EventSubscription> events_;
  std::string sent_;
};

}  // namespace

pb::Node ShowNode(const Context& context) {
  const lifecycle::Node& node = context.node;
  pb::Node proto;
  proto.set_node_id(node.config().node_id);
  proto.set_agent_version(context.agent_version);
  proto.set_incarnation_id(node.incarnation());
  proto.set_cgroup_mode(context.cgroup_mode);
  SetHost(node.host(), &proto);
  SetMemory(node.memory(), proto.mutable_memory());
  for (const lifecycle::DriverState& driver : node.drivers()) {
    SetDriver(driver, proto.add_drivers());
  }
  SetCounts(node, &proto);
  SetTime(node.started_at(), proto.mutable_agent_start_time());
  proto.set_revision(node.revision());
  const std::vector<std::string> conditions = node.conditions();
  proto.set_node_class(std::string(ToString(node.config().node_class)));
  proto.set_hardened(node.hardened());
  proto.set_ready(conditions.empty());
  proto.mutable_conditions()->Assign(conditions.begin(), conditions.end());
  if (node.state().cordoned) SetCordon(node.state(), proto.mutable_cordon());
  const std::map<std::string, std::string>& labels = node.config().labels;
  proto.mutable_labels()->insert(labels.begin(), labels.end());
  for (const placement::Taint& taint : node.config().taints) proto.add_taints(ToText(taint));
  proto.set_controller_generation(node.state().controller_generation);
  return proto;
}

pb::Target ShowTarget(const Context& context) {
  const lifecycle::Node& node = context.node;
  pb::Target proto;
  proto.set_name("host");
  proto.set_os(node.host().os);
  proto.set_architecture(node.host().architecture);
  proto.set_page_size_bytes(node.host().page_size_bytes);
  proto.set_node_class(std::string(ToString(node.config().node_class)));
  proto.set_running(true);
  for (const lifecycle::DriverState& driver : node.drivers()) {
    SetDriver(driver, proto.add_drivers());
  }
  SetMemory(node.memory(), proto.mutable_memory());
  const std::map<std::string, std::string>& labels = node.config().labels;
  proto.mutable_labels()->insert(labels.begin(), labels.end());
  for (const placement::Taint& taint : node.config().taints) proto.add_taints(ToText(taint));
  if (node.state().cordoned) SetCordon(node.state(), proto.mutable_cordon());
  for (const Image& image : node.ListImages()) proto.add_images(image.digest);
  proto.set_sandboxes(node.concurrency().counts.sandboxes);
  return proto;
}

pb::Target ShowTarget(const placement::Target& target) {
  pb::Target proto;
  proto.set_name(target.name);
  proto.set_os(target.platform->os);
  proto.set_architecture(target.platform->architecture);
  proto.set_page_size_bytes(target.platform->page_size_bytes);
  proto.set_node_class(std::string(ToString(target.platform->node_class)));
  proto.set_emulated(target.platform->emulated);
  proto.set_running(target.running);
  for (const placement::Runtime& runtime : target.platform->runtimes) {
    pb::DriverStatus* driver = proto.add_drivers();
    driver->set_name(runtime.driver);
    driver->set_healthy(runtime.problem.empty());
    driver->set_message(runtime.problem);
    driver->set_runtime_version(runtime.version);
    driver->set_platform(runtime.platform);
    driver->set_overhead_prior_bytes(runtime.overhead_prior_bytes);
  }
  pb::NodeMemory* memory = proto.mutable_memory();
  memory->set_allocatable_bytes(target.allocatable_bytes);
  memory->set_charged_bytes(target.held.charged_bytes());
  memory->set_available_bytes(target.allocatable_bytes - target.held.charged_bytes());
  proto.mutable_labels()->insert(target.labels.begin(), target.labels.end());
  for (const placement::Taint& taint : target.taints) proto.add_taints(ToText(taint));
  if (!target.cordoned.empty()) proto.mutable_cordon()->set_reason(target.cordoned);
  for (const std::string& digest : target.images) proto.add_images(digest);
  proto.set_sandboxes(target.held.active().sandboxes);
  return proto;
}

Task<Status> WatchNode(const Context& context, const pb::WatchNodeRequest& request,
                       Sink<pb::NodeChange>& sink) {
  const int64_t resume = request.resume_revision();
  if (resume < 0) co_return BadField("resume_revision", "is less than 0");
  CO_RETURN_IF_ERROR(CheckKnownRevision(context, resume));
  std::chrono::milliseconds interval = kUsual;
  if (request.has_min_interval()) {
    CO_ASSIGN_OR_RETURN(interval, ParseDuration("min_interval", request.min_interval(), kLongest));
    if (interval < kShortest) co_return BadField("min_interval", "is less than 50 ms");
  }
  NodeWatch watch(context, sink, interval);
  co_return co_await watch.Follow(resume);
}

}  // namespace claw::rpc
