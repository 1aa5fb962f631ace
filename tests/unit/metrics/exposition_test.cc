#include "agent/metrics/exposition.h"

#include <cmath>
#include <set>

#include "agent/base/file.h"
#include "agent/metrics/families.h"
#include "tests/unit/metrics/metrics_fixture.h"

namespace claw::test {
namespace {

// Name, type and labels of one metric.
struct Described {
  std::string type{};
  std::set<std::string> labels{};
  bool operator==(const Described&) const = default;
};

std::map<std::string, Described> InReadme() {
  const auto text = ReadFile(CLAW_SOURCE_DIR "/agent/metrics/README.md");
  REQUIRE(text.ok());
  std::map<std::string, Described> all;
  for (const std::string_view line : Split(*text, '\n')) {
    if (!line.starts_with("| `clawlet_")) continue;
    const std::vector<std::string_view> cells = Split(line, '|');
    REQUIRE(cells.size() == 6);
    CHECK_FALSE(Trim(cells[4]).empty());
    const std::string_view quoted = Trim(cells[1]);
    Described metric{.type = std::string(Trim(cells[2]))};
    for (const std::string_view label : Split(cells[3], ',')) {
      if (!Trim(label).empty()) metric.labels.emplace(Trim(label));
    }
    CHECK(all.emplace(quoted.substr(1, quoted.size() - 2), metric).second);
  }
  return all;
}

std::string TypeOf(prometheus::MetricType type) {
  if (type == prometheus::MetricType::Counter) return "counter";
  if (type == prometheus::MetricType::Histogram) return "histogram";
  return type == prometheus::MetricType::Gauge ? "gauge" : "?";
}

TEST_CASE("what passed and what was denied is told by tenant, and stays when the sandbox is gone") {
  MetricsFixture node;
  node.AddTenant("acme");
  const Sandbox sandbox = node.Connect("acme");
  const std::string sent =
      "clawlet_network_packets_total{tenant=\"acme\",direction=\"egress\",verdict=\"seen\"} 3\n";
  CHECK(node.Text().find(sent) != std::string::npos);
  // The same counts again are no more packets.
  node.Run(node.node().network().Total());
  CHECK(node.Text().find(sent) != std::string::npos);
  node.EndAndRelease(sandbox);
  node.Run(node.node().network().Total());
  const std::string after = node.Text();
  CHECK(after.find(sent) != std::string::npos);
  CHECK(after.find("clawlet_network_sandboxes 0\n") != std::string::npos);
}

TEST_CASE("the README has every metric that there is, and no other") {
  MetricsFixture node;
  node.AddTenant("acme");
  const Sandbox sandbox = node.Create("acme");
  CHECK_FALSE(node.TryCreate("acme", 64 * kGiB).ok());
  node.EndAndRelease(sandbox);
  node.Connect("acme");
  std::map<std::string, Described> readme = InReadme();
  for (const prometheus::MetricFamily& family : node.Families()) {
    INFO(family.name);
    CHECK_FALSE(family.help.empty());
    REQUIRE(readme.count(family.name) == 1);
    CHECK(readme[family.name].type == TypeOf(family.type));
    // A calm node has no limit to tell of.
    CHECK((!family.metric.empty() || family.name == "clawlet_sandboxes_limit"));
    for (const prometheus::ClientMetric& metric : family.metric) {
      std::set<std::string> labels;
      for (const auto& label : metric.label) labels.insert(label.name);
      CHECK(labels == readme[family.name].labels);
    }
    readme.erase(family.name);
  }
  for (const auto& [name, metric] : readme) FAIL_CHECK(name << " is not told of");
}

TEST_CASE("what is told of a node is how it stands, and can be read") {
  lifecycle::NodeConfig config;
  config.reserves.system_bytes = kGiB;
  MetricsFixture node(config);
  PrometheusText text = node.Metrics();
  CHECK(text.Value("clawlet_info",
                   {{"node", "node-under-test"}, {"version", "9.9"}, {"class", "standard"}}) == 1);
  CHECK(text.Value("clawlet_ready") == 1);
  CHECK(text.Value("clawlet_images") == 1);
  CHECK(text.Value("clawlet_memory_capacity_bytes") == 8.0 * kGiB);
  CHECK(text.Value("clawlet_memory_allocatable_bytes") == 7.0 * kGiB);
  CHECK(text.Value("clawlet_driver_healthy", {{"driver", "gvisor"}}) == 1);
  CHECK(text.Value("clawlet_starts_total", {{"driver", "runc"}, {"outcome", "running"}}) == 0);
  CHECK(text.families.at("clawlet_tenant_sandboxes").samples.empty());

  node.AddTenant("acme");
  const Sandbox sandbox = node.Create("acme");
  const auto overhead = static_cast<double>(sandbox.resources.memory.overhead_bytes);
  text = node.Metrics();
  CHECK(text.Value("clawlet_sandboxes", {{"driver", "runc"}, {"state", "RUNNING"}}) == 1);
  CHECK(text.Value("clawlet_memory_charged_bytes", {{"kind", "workload"}}) == 128.0 * kMiB);
  CHECK(text.Value("clawlet_memory_charged_bytes", {{"kind", "overhead"}}) == overhead);
  CHECK(text.Value("clawlet_tenant_sandboxes", {{"tenant", "acme"}}) == 1);
  CHECK(text.Value("clawlet_tenant_charged_overhead_bytes", {{"tenant", "acme"}}) == overhead);
  CHECK(text.Value("clawlet_tenant_workload_byte_seconds_total", {{"tenant", "acme"}}) > 0);
  CHECK(text.Value("clawlet_starts_total", {{"driver", "runc"}, {"outcome", "running"}}) == 1);
  CHECK(text.Value("clawlet_start_duration_seconds_count", {{"driver", "runc"}}) == 1);
  CHECK(text.Value("clawlet_class_overhead_bytes",
                   {{"driver", "runc"},
                    {"family", "docker.io/library/app"},
                    {"image", sandbox.image_digest.substr(0, 19)}}) == overhead);
  CHECK(text.Value("clawlet_classes_omitted") == 0);
}

TEST_CASE("what happens is counted, and the count begins anew with the agent") {
  MetricsFixture node;
  node.AddTenant("acme");
  CHECK_FALSE(node.TryCreate("acme", 64 * kGiB).ok());
  CHECK_FALSE(node.TryCreate("nobody").ok());
  node.world().Fail(drivers::Step::kStart, Unavailable("not today"));
  CHECK_FALSE(node.TryCreate("acme").ok());
  node.EndAndRelease(node.Create("acme"));
  node.EndAndRelease(node.Create("acme"), 137, true);
  const Sandbox lost = node.Create("acme");
  auto released = node.AwaitEvent("sandbox.released", lost.id);
  REQUIRE(node.world().Vanish(lost.id).ok());
  released.get();
  const PrometheusText text = node.Metrics();
  CHECK(text.Value("clawlet_start_refusals_total", {{"reason", "MEMORY_EXHAUSTED"}}) == 1);
  CHECK(text.Value("clawlet_start_refusals_total", {{"reason", "TENANT_NOT_FOUND"}}) == 1);
  CHECK(text.Value("clawlet_starts_total", {{"driver", "runc"}, {"outcome", "failed"}}) == 1);
  CHECK(text.Value("clawlet_starts_total", {{"driver", "runc"}, {"outcome", "running"}}) == 3);
  CHECK(text.Value("clawlet_exits_total", {{"driver", "runc"}, {"reason", "EXITED"}}) == 1);
  CHECK(text.Value("clawlet_exits_total", {{"driver", "runc"}, {"reason", "OOM_KILLED"}}) == 1);
  CHECK(text.Value("clawlet_oom_kills_total") == 1);
  CHECK(text.Value("clawlet_evictions_total") == 0);
  const auto& exits = text.families.at("clawlet_exits_total").samples;
  CHECK(exits.size() == 3);
  node.Restart();
  CHECK(node.Metrics().families.at("clawlet_exits_total").samples.empty());
}

TEST_CASE("counters: durations, reasons without an end, evictions") {
  lifecycle::Counters counters;
  counters.CountStart("gvisor", true, std::chrono::milliseconds(25));
  counters.CountStart("gvisor", true, std::chrono::milliseconds(26));
  counters.CountStart("gvisor", true, std::chrono::hours(1));
  counters.CountStart("gvisor", false, std::chrono::hours(1));
  const lifecycle::DurationHistogram& took = counters.starts.at("gvisor").took;
  CHECK(took.counts.front() == 1);
  CHECK(took.counts[1] == 1);
  CHECK(took.counts.back() == 1);
  CHECK(took.sum_seconds == Approx(3600.051));
  for (int i = 0; i < 1000; ++i) {
    counters.CountRefusal(MakeError(StatusCode::kInternal, "", {.reason = StrCat("R", i)}));
  }
  counters.CountRefusal(absl::InternalError("without a detail"));
  CHECK(counters.refusals.size() <= 65);
  CHECK(counters.refusals.at("OTHER") > 900);
  Sandbox evicted;
  evicted.state = SandboxState::kExited;
  evicted.exit = ExitInfo{.reason = EndReason::kEvicted};
  counters.CountExit(evicted, true);
  CHECK(counters.evictions == 1);
  CHECK(counters.oom_kills == 0);
}

TEST_CASE("families: whatever stands in a label, the text can be read") {
  metrics::Families families;
  families.Gauge("clawlet_x", "With a \\ and\na line.");
  families.Add(1.5, {{"a", "quote \" backslash \\ line\nend"}});
  families.Add(std::nan(""), {{"a", std::string(1000, 'x') + "\xff"}});
  families.Gauge("clawlet_y", "Long.");
  families.Add(int64_t{3}, {{"a", StrCat(std::string(255, 'x'), "ä")}, {"b", "ok\xff"}});
  const std::vector<prometheus::MetricFamily> all = families.Take();
  CHECK(all[0].metric[1].label[0].value == std::string(256, 'x'));
  CHECK(all[1].metric[0].label[0].value == std::string(255, 'x'));
  CHECK(all[1].metric[0].label[1].value == "ok");
  CHECK(all[1].metric[0].gauge.value == 3);
}

TEST_CASE("the parser of these tests is strict") {
  const std::string good = "# HELP a_total x\n# TYPE a_total counter\na_total{b=\"c\"} 1\n";
  CHECK(ParsePrometheusText(good).ok());
  for (const char* bad :
       {"a 1\n", "# HELP a x\na 1\n", "# TYPE a gauge\na 1\n", "# HELP a x\n# TYPE a gauge\nb 1\n",
        "# HELP a x\n# TYPE a gauge\na 1", "# HELP a x\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a x\n# TYPE a counter\na 1\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total -1\n",
        "# HELP a x\n# TYPE a gauge\na one\n", "# HELP a x\n# TYPE a gauge\na{b=\"c} 1\n",
        "# HELP a x\n# TYPE a gauge\na{b=\"\\q\"} 1\n",
        "# HELP a x\n# TYPE a gauge\na{1=\"c\"} 1\n",
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
        "# HELP a x\n# TYPE a gauge\n\na 1\n"}) {
    CAPTURE(bad);
    CHECK_FALSE(ParsePrometheusText(bad).ok());
  }
}

}  // namespace
}  // namespace claw::test
