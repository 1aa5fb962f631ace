#include "tests/bench/network_engine.h"

#include <atomic>
#include <cstdio>
#include <map>
#include <memory>
#include <thread>

#include "agent/base/strings.h"
#include "drivers/network/linux/nft.h"
#include "drivers/network/network.h"
#include "tests/bench/network_scene.h"
#include "tests/support/temp_dir.h"

namespace claw::bench {
namespace {

using std::chrono::steady_clock;

constexpr char kName[] = "clawbench";
constexpr int kManyElements = 4000;
constexpr int kPorts = 16;  // of each rule at most

void Must(const Status& status, const std::string& what) {
  if (!status.ok()) Fail(what, ToLogString(status));
}

template <typename T>
T Must(StatusOr<T> value, const std::string& what) {
  Must(value.status(), what);
  return *std::move(value);
}

NetworkPolicy StreamPolicy() {
  NetworkPolicy policy;
  for (const char* protocol : {"/tcp", "/udp"}) {
    policy.egress.push_back(
        Must(ParseNetworkRule(StrCat(kOutside, ":", kOutsidePort, protocol)), "a rule"));
  }
  return policy;
}

// So many more that never apply.
NetworkPolicy ManyElements() {
  NetworkPolicy policy = StreamPolicy();
  for (int i = 0; i < kManyElements / kPorts; ++i) {
    NetworkRule rule = Must(ParseNetworkRule(StrCat("10.50.", i, ".0/24:1/tcp")), "a rule");
    rule.ports.clear();
    for (int port = 0; port < kPorts; ++port) {
      rule.ports.push_back({.first = 100 + 2 * port, .last = 100 + 2 * port});
    }
    policy.egress.push_back(std::move(rule));
  }
  return policy;
}

class EngineBench {
 public:
  explicit EngineBench(const NetworkSettings& settings) : settings_(settings) {
    network::NetworkConfig config;
    config.name = kName;
    config.run_dir = dir_.path() / "net";
    config.ipv4_range = Must(ParseIpPrefix("10.222.0.0/20"), "a range");
    config.ipv6_range = Must(ParseIpPrefix("fd22::/96"), "a range");
    networks_ = network::MakeNetworks(config, {});
    const auto health = networks_->Probe();
    if (!health.healthy) Fail("Probe", health.message);
    Must(networks_->Reconcile(), "Reconcile");
  }

  ~EngineBench() {
    std::vector<std::string> ids;
    for (const auto& [id, holder] : holders_) ids.push_back(id);
    Progress(StrCat("detach ", ids.size()));
    for (const std::string& id : ids) Must(networks_->Detach(id), "Detach");
    networks_.reset();
    for (const char* family : {"inet", "bridge"}) {
      network::RunNft(StrCat("delete table ", family, " ", kName)).IgnoreError();
    }
  }

  std::vector<Row> RunAll() {
    Attach("many", {.name = "many", .policy = ManyElements()});
    Attach("s0", {.name = "bench", .policy = StreamPolicy()});
    const int most = settings_.sandboxes;
    std::vector<int> counts = {1};
    if (most > 100) counts.push_back(100);
    if (most > 1) counts.push_back(most);
    for (const int count : counts) {
      Fill(count);
      Verbs(count);
      if (count == 1 || count == most) Traffic(count);
    }
    // The stream without rules is the first of its group.
    for (const auto* all : {&streams_, &datagrams_}) {
      for (const auto& who : order_) {
        Row row{.group = all == &streams_ ? "TCP to an outside host, no runtime"
                                          : "UDP of 64 bytes to an outside host, no runtime",
                .who = who,
                .unit = all == &streams_ ? "Gbit/s" : "k/s",
                .value = SpreadOf(all->at(who))};
        rows_.push_back(std::move(row));
      }
    }
    Compare(rows_);
    return rows_;
  }

 private:
  network::NetworkPlan Plan(const std::string& id, network::NetworkPlan::Layer layer) const {
    return {.id = id, .tenant = "a", .hostname = id, .layers = {std::move(layer)}};
  }

  void Attach(const std::string& id, network::NetworkPlan::Layer layer) {
    auto holder = std::make_unique<Holder>();
    const auto plan = Plan(id, std::move(layer));
    Must(networks_->Prepare(plan), "Prepare");
    Must(networks_->Attach(plan, holder->pid()), "Attach");
    holders_[id] = std::move(holder);
  }

  // Up to so many, beside the one with many elements.
  void Fill(int count) {
    Progress(StrCat("attach up to ", count));
    for (int i = static_cast<int>(holders_.size()) - 1; i < count; ++i) {
      Attach(StrCat("s", i), {.name = "bench", .policy = StreamPolicy()});
    }
  }

  void Verbs(int count) {
    Progress(StrCat("Attach, Replace and Detach at ", count));
    std::map<std::string, std::vector<double>> samples;
    for (int round = -1; round < settings_.rounds; ++round) {
      const Holder holder;
      auto plan = Plan("one", {.name = "bench", .policy = StreamPolicy()});
      const auto take = [&](const char* verb, const std::function<Status()>& act) {
        const auto begin = steady_clock::now();
        Must(act(), verb);
        if (round >= 0) samples[verb].push_back(MillisSince(begin));  // the first warms up
      };
      Must(networks_->Prepare(plan), "Prepare");
      take("Attach", [&] { return networks_->Attach(plan, holder.pid()).status(); });
      plan.layers[0] = {.name = "other", .policy = StreamPolicy()};
      plan.layers[0].policy.egress.resize(1);
      take("Replace", [&] { return networks_->Replace({plan}); });
      take("Detach", [&] { return networks_->Detach("one"); });
    }
    // All that share a policy, in one transaction.
    for (int round = 0; round < settings_.rounds; ++round) {
      std::vector<network::NetworkPlan> plans;
      network::NetworkPlan::Layer layer{.name = "bench", .policy = StreamPolicy()};
      if (round % 2 == 0) layer.policy.egress.push_back(Must(ParseNetworkRule("10.7.0.0/16"), ""));
      for (int i = 0; i < count; ++i) plans.push_back(Plan(StrCat("s", i), layer));
      const auto begin = steady_clock::now();
      Must(networks_->Replace(plans), "Replace");
      samples["Replace of all"].push_back(MillisSince(begin));
    }
    for (auto& [verb, taken] : samples) {
      verbs_[verb].push_back({.group = StrCat(verb, ", claw::network"),
                              .who = StrCat("with ", count, " present"),
                              .unit = "ms",
                              .value = SpreadOf(std::move(taken))});
    }
    rows_.clear();
    for (const auto& [verb, rows] : verbs_) rows_.insert(rows_.end(), rows.begin(), rows.end());
  }

  void Traffic(int count) {
    Progress(StrCat("traffic with the rules of ", count));
    std::vector<std::pair<std::string, const Holder*>> contenders = {
        {"no rules at all", &bare_.sandbox()},
        {StrCat("rules of ", count, count == 1 ? " sandbox" : " sandboxes"), holders_["s0"].get()}};
    if (count == settings_.sandboxes) {
      contenders.emplace_back(StrCat("the same, ", kManyElements, " elements"),
                              holders_["many"].get());
    }
    for (const auto& [who, holder] : contenders) {
      if (streams_.count(who) == 0) order_.push_back(who);
    }
    for (int round = 0; round < settings_.rounds; ++round) {
      for (const auto& [who, holder] : contenders) {
        streams_[who].push_back(StreamGbits(holder->Run(StreamCommand(settings_.seconds))));
        datagrams_[who].push_back(
            DatagramThousands(holder->Run(DatagramCommand(settings_.seconds))));
      }
    }
  }

  const NetworkSettings settings_;
  test::TempDir dir_;
  BareHost bare_;
  std::unique_ptr<network::Networks> networks_;
  std::map<std::string, std::unique_ptr<Holder>> holders_;
  std::map<std::string, std::vector<Row>> verbs_;
  std::vector<std::string> order_;
  std::map<std::string, std::vector<double>> streams_;
  std::map<std::string, std::vector<double>> datagrams_;
  std::vector<Row> rows_;
};

}  // namespace

double MillisSince(steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count();
}

void Progress(const std::string& text) { std::fprintf(stderr, "… %s\n", text.c_str()); }

std::vector<Row> MeasureEngine(const NetworkSettings& settings) {
  return EngineBench(settings).RunAll();
}

}  // namespace claw::bench
