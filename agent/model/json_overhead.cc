#include "agent/model/json.h"
#include "agent/model/json_reader.h"

namespace claw {
namespace {

using json::Get;
using json::GetEnum;
using json::GetTime;
using json::Json;

// Far above what agent/budget/overhead.cc makes; a damaged record must not cost memory.
constexpr int kMaxBucket = 1000;

Json PeakToJson(const OverheadPeak& peak) {
  return {{"bytes", peak.bytes}, {"at", ToMicros(peak.at)}};
}

OverheadPeak ReadPeak(const Json& json) {
  OverheadPeak peak;
  Get(json, "bytes", peak.bytes);
  GetTime(json, "at", peak.at);
  if (peak.bytes < 0) throw std::invalid_argument("a peak is negative");
  return peak;
}

void ReadBuckets(const Json& array, std::map<int, double>& buckets) {
  for (const Json& pair : array) {
    const int bucket = pair.at(0).get<int>();
    const double weight = pair.at(1).get<double>();
    // Written so that what is no number fails, too.
    const bool sane = bucket >= 0 && bucket <= kMaxBucket && weight >= 0 && weight < 1e300;
    if (!sane) throw std::invalid_argument("a bucket is out of range");
    buckets[bucket] = weight;
  }
}

// Empty in records of before there was one.
void ReadUsage(const Json& array, UsageMoments& usage) {
  if (array.empty()) return;
  const UsageMoments read{.weight = array.at(0).get<double>(),
                          .mean_sum = array.at(1).get<double>(),
                          .square_sum = array.at(2).get<double>()};
  const bool sane = read.weight >= 0 && read.weight < 1e300 && read.mean_sum >= 0 &&
                    read.mean_sum < 1e300 && read.square_sum >= 0 && read.square_sum < 1e300;
  if (!sane) throw std::invalid_argument("a usage is out of range");
  usage = read;
}

void ReadClass(const Json& json, SandboxClass& sandboxes) {
  Get(json, "image_digest", sandboxes.image_digest);
  Get(json, "image_family", sandboxes.image_family);
  Get(json, "driver", sandboxes.driver);
  Get(json, "runtime_version", sandboxes.runtime_version);
  Get(json, "platform", sandboxes.platform);
  Get(json, "architecture", sandboxes.architecture);
  Get(json, "page_size_bytes", sandboxes.page_size_bytes);
}

void ReadRecord(const Json& json, OverheadRecord& record) {
  GetEnum(json, "level", record.level, ParseOverheadLevel);
  ReadClass(json, record.sandboxes);
  ReadBuckets(json.value("buckets", Json::array()), record.buckets);
  GetTime(json, "weighed_at", record.weighed_at);
  record.recent = ReadPeak(json.value("recent", Json::object()));
  for (const Json& peak : json.value("samples", Json::array())) {
    record.samples.push_back(ReadPeak(peak));
  }
  ReadUsage(json.value("usage", Json::array()), record.usage);
  Get(json, "windows", record.windows);
  GetTime(json, "first_at", record.first_at);
  GetTime(json, "last_at", record.last_at);
}

}  // namespace

std::string ToJson(const OverheadRecord& record) {
  Json buckets = Json::array();
  for (const auto& [bucket, weight] : record.buckets) buckets.push_back({bucket, weight});
  Json samples = Json::array();
  for (const OverheadPeak& peak : record.samples) samples.push_back(PeakToJson(peak));
  const SandboxClass& sandboxes = record.sandboxes;
  const UsageMoments& usage = record.usage;
  return json::Dump({{"level", ToString(record.level)},
                     {"image_digest", sandboxes.image_digest},
                     {"image_family", sandboxes.image_family},
                     {"driver", sandboxes.driver},
                     {"runtime_version", sandboxes.runtime_version},
                     {"platform", sandboxes.platform},
                     {"architecture", sandboxes.architecture},
                     {"page_size_bytes", sandboxes.page_size_bytes},
                     {"buckets", buckets},
                     {"weighed_at", ToMicros(record.weighed_at)},
                     {"recent", PeakToJson(record.recent)},
                     {"samples", samples},
                     {"usage", {usage.weight, usage.mean_sum, usage.square_sum}},
                     {"windows", record.windows},
                     {"first_at", ToMicros(record.first_at)},
                     {"last_at", ToMicros(record.last_at)}});
}

StatusOr<OverheadRecord> OverheadRecordFromJson(std::string_view text) {
  return json::Parse<OverheadRecord>("overhead", text, ReadRecord);
}

}  // namespace claw
