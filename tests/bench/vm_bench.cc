// tools/bench vm: how long an arm64 guest takes to come up, how large its image is, and what it
// takes of the host while nothing runs in it.

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"
#include "claw/node/v1/vm.grpc.pb.h"
#include "tests/bench/agent_process.h"
#include "tests/bench/report.h"
#include "tests/support/temp_dir.h"

namespace claw::bench {
namespace {

namespace pb = claw::node::v1;
using SteadyClock = std::chrono::steady_clock;

struct Settings {
  int rounds = 3;
  int settle_seconds = 20;
  int64_t memory_mib = 1024;
  bool json = false;
  std::string image = CLAW_SOURCE_DIR "/build/guest-image";
  std::string type{};
  std::string bin = CLAW_BIN;
};

[[noreturn]] void Die(const std::string& why) { throw std::runtime_error(why); }

void OrDie(const grpc::Status& status, const std::string& doing) {
  if (!status.ok()) Die(StrCat(doing, ": ", status.error_message()));
}

double SecondsSince(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

double MiB(int64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(kMiB); }

class VmBench {
 public:
  explicit VmBench(const Settings& settings)
      : settings_(settings), agent_(settings.bin, dir_.path(), Config(settings)) {
    stub_ = pb::VmService::NewStub(agent_.channel());
  }

  std::vector<Row> Run() {
    pb::GuestImage image;
    grpc::ClientContext asked;
    OrDie(stub_->GetGuestImage(&asked, {}, &image), "look at the guest image");
    Create();
    std::vector<double> first, again, off, resident, used, charged;
    pb::Vm vm;
    for (int i = 0; i < settings_.rounds; ++i) {
      std::fprintf(stderr, "round %d of %d\n", i + 1, settings_.rounds);
      // The first boot makes a file system on the disk; libvirt has been asked before.
      (i == 0 ? first : again).push_back(Start());
      std::this_thread::sleep_for(std::chrono::seconds(settings_.settle_seconds));
      vm = Show();
      resident.push_back(MiB(vm.memory().resident_bytes()));
      used.push_back(MiB(vm.memory().guest_total_bytes() - vm.memory().guest_available_bytes()));
      charged.push_back(MiB(vm.charged_bytes()));
      off.push_back(Stop());
    }
    Remove();
    std::vector<Row> rows;
    const std::string type = vm.domain_type();
    rows.push_back({"size of the guest image", type, "MiB", SpreadOf({MiB(image.size_bytes())}),
                    image.kernel_version()});
    rows.push_back({"boot to ready, the first", type, "s", SpreadOf(first), "with a new disk"});
    if (!again.empty()) rows.push_back({"boot to ready", type, "s", SpreadOf(again), ""});
    rows.push_back({"told to end, to off", type, "s", SpreadOf(off), ""});
    rows.push_back({"idle: used in the guest", type, "MiB", SpreadOf(used),
                    StrCat("of ", settings_.memory_mib)});
    rows.push_back({"idle: resident on the host", type, "MiB", SpreadOf(resident),
                    "the whole hypervisor process"});
    rows.push_back({"charged on the host", type, "MiB", SpreadOf(charged), ""});
    return rows;
  }

 private:
  static std::string Config(const Settings& settings) {
    return StrCat("[vm]\nenabled = true\nimage = \"", settings.image, "\"\nstart_seconds = 600\n",
                  settings.type.empty() ? "" : StrCat("type = \"", settings.type, "\"\n"));
  }

  void Create() {
    pb::CreateVmRequest request;
    request.mutable_spec()->set_display_name("bench");
    request.mutable_spec()->set_memory_bytes(settings_.memory_mib * kMiB);
    pb::Vm vm;
    grpc::ClientContext context;
    OrDie(stub_->CreateVm(&context, request, &vm), "create a VM");
  }
  double Start() {
    pb::StartVmRequest request;
    request.set_name("vms/bench");
    grpc::ClientContext context;
    const auto begin = SteadyClock::now();
    const auto stream = stub_->StartVm(&context, request);
    for (pb::VmProgress progress; stream->Read(&progress);) {
    }
    OrDie(stream->Finish(), "start the VM");
    return SecondsSince(begin);
  }
  double Stop() {
    pb::StopVmRequest request;
    request.set_name("vms/bench");
    pb::Vm vm;
    grpc::ClientContext context;
    const auto begin = SteadyClock::now();
    OrDie(stub_->StopVm(&context, request, &vm), "stop the VM");
    return SecondsSince(begin);
  }
  pb::Vm Show() {
    pb::GetVmRequest request;
    request.set_name("vms/bench");
    pb::Vm vm;
    grpc::ClientContext context;
    OrDie(stub_->GetVm(&context, request, &vm), "look at the VM");
    return vm;
  }
  void Remove() {
    pb::DeleteVmRequest request;
    request.set_name("vms/bench");
    google::protobuf::Empty response;
    grpc::ClientContext context;
    OrDie(stub_->DeleteVm(&context, request, &response), "remove the VM");
  }

  const Settings settings_;
  test::TempDir dir_;
  AgentProcess agent_;
  std::unique_ptr<pb::VmService::Stub> stub_;
};

}  // namespace
}  // namespace claw::bench

int main(int argc, char** argv) {
  claw::bench::Settings settings;
  CLI::App app{"Boot to ready of an arm64 guest, its image, and what it takes at idle"};
  app.add_flag("--json", settings.json, "print JSON");
  app.add_option("--rounds", settings.rounds, "boots")->check(CLI::Range(1, 100));
  app.add_option("--settle", settings.settle_seconds, "seconds of idleness before memory is read")
      ->check(CLI::Range(0, 3600));
  app.add_option("--memory", settings.memory_mib, "of the guest, in MiB")
      ->check(CLI::Range(384, 65536));
  app.add_option("--image", settings.image, "folder of the guest image");
  app.add_option("--type", settings.type, "hvf, kvm or qemu; the first that works unless given");
  app.add_option("--bin", settings.bin, "folder of the clawlet to measure");
  app.footer("Example: tools/bench vm --rounds 5 --memory 2048");
  CLI11_PARSE(app, argc, argv);
  try {
    claw::bench::VmBench bench(settings);
    claw::bench::Print("vm", bench.Run(), settings.json);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "benchmark: %s\n", error.what());
    return 1;
  }
  return 0;
}
