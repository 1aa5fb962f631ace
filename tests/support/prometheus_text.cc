#include "tests/support/prometheus_text.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <regex>
#include <set>

namespace claw::test {
namespace {

using Sample = PrometheusText::Sample;
using Family = PrometheusText::Family;

bool IsName(const std::string& text) {
  static const std::regex kName("[a-zA-Z_:][a-zA-Z0-9_:]*");
  return std::regex_match(text, kName);
}

StatusOr<double> ParseValue(const std::string& text) {
  if (text == "+Inf") return std::numeric_limits<double>::infinity();
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value)) return InvalidArgument("a value");
  return value;
}

// `rest` begins behind the '{'; what is left of it begins behind the '}'.
Status ParseLabels(std::string_view& rest, PrometheusText::Labels& labels) {
  while (!rest.starts_with("}")) {
    const size_t equals = rest.find("=\"");
    if (equals == std::string_view::npos) return InvalidArgument("a label");
    const std::string name(rest.substr(0, equals));
    if (!IsName(name) || name.find(':') != std::string::npos) return InvalidArgument("a label");
    rest.remove_prefix(equals + 2);
    std::string value;
    for (; !rest.starts_with("\""); rest.remove_prefix(1)) {
      if (rest.empty()) return InvalidArgument("an open label");
      if (rest[0] == '\\') {
        rest.remove_prefix(1);
        if (rest.empty() || std::string_view("\\\"n").find(rest[0]) == std::string_view::npos) {
          return InvalidArgument("an escape");
        }
        value += rest[0] == 'n' ? '\n' : rest[0];
      } else {
        value += rest[0];
      }
    }
    rest.remove_prefix(1);
    if (!labels.emplace(name, value).second) return InvalidArgument("a label twice");
    if (rest.starts_with(",")) rest.remove_prefix(1);
  }
  rest.remove_prefix(1);
  return absl::OkStatus();
}

StatusOr<Sample> ParseSample(std::string_view line) {
  Sample sample;
  const size_t end = line.find_first_of("{ ");
  if (end == std::string_view::npos) return InvalidArgument("no value");
  sample.name = line.substr(0, end);
  if (!IsName(sample.name)) return InvalidArgument("a name");
  std::string_view rest = line.substr(end);
  if (rest.starts_with("{")) {
    rest.remove_prefix(1);
    RETURN_IF_ERROR(ParseLabels(rest, sample.labels));
  }
  if (!rest.starts_with(" ")) return InvalidArgument("no space before the value");
  ASSIGN_OR_RETURN(sample.value, ParseValue(std::string(rest.substr(1))));
  return sample;
}

bool BelongsTo(const Sample& sample, const std::string& name, const std::string& type) {
  if (type != "histogram") return sample.name == name;
  return sample.name == name + "_bucket" || sample.name == name + "_sum" ||
         sample.name == name + "_count";
}

Status CheckHistogram(const std::string& name, const Family& family) {
  struct Series {
    double below = 0;
    double bound = -1;
    double count = -1;
  };
  std::map<PrometheusText::Labels, Series> all;
  for (const Sample& sample : family.samples) {
    PrometheusText::Labels labels = sample.labels;
    labels.erase("le");
    Series& series = all[labels];
    if (sample.name == name + "_count") series.count = sample.value;
    if (sample.name != name + "_bucket") continue;
    ASSIGN_OR_RETURN(const double bound, ParseValue(sample.labels.at("le")));
    if (bound <= series.bound || sample.value < series.below) {
      return InvalidArgument(name, ": buckets do not ascend");
    }
    series.bound = bound;
    series.below = sample.value;
  }
  for (const auto& [labels, series] : all) {
    if (!std::isinf(series.bound) || series.below != series.count) {
      return InvalidArgument(name, ": the last bucket is not the count");
    }
  }
  return absl::OkStatus();
}

Status CheckFamily(const std::string& name, const Family& family) {
  std::set<std::pair<std::string, PrometheusText::Labels>> seen;
  for (const Sample& sample : family.samples) {
    if (!seen.insert({sample.name, sample.labels}).second) {
      return InvalidArgument(name, ": a series twice");
    }
    if (family.type == "counter" && !(sample.value >= 0)) {
      return InvalidArgument(name, ": a negative counter");
    }
  }
  if ((family.type == "counter") != name.ends_with("_total")) {
    return InvalidArgument(name, ": _total is for counters");
  }
  return family.type == "histogram" ? CheckHistogram(name, family) : absl::OkStatus();
}

class Parser {
 public:
  Status Line(std::string_view line) {
    if (line.starts_with("# HELP ")) return Help(line.substr(7));
    if (line.starts_with("# TYPE ")) return Type(line.substr(7));
    ASSIGN_OR_RETURN(Sample sample, ParseSample(line));
    if (name_.empty() || !BelongsTo(sample, name_, text_.families[name_].type)) {
      return InvalidArgument(sample.name, " without HELP and TYPE right before it");
    }
    text_.families[name_].samples.push_back(std::move(sample));
    return absl::OkStatus();
  }

  StatusOr<PrometheusText> Finish() {
    for (const auto& [name, family] : text_.families) {
      if (family.type.empty()) return InvalidArgument(name, " has no TYPE");
      RETURN_IF_ERROR(CheckFamily(name, family));
    }
    return std::move(text_);
  }

 private:
  Status Help(std::string_view rest) {
    const size_t space = rest.find(' ');
    if (space == std::string_view::npos) return InvalidArgument("HELP without a text");
    name_ = rest.substr(0, space);
    if (!IsName(name_)) return InvalidArgument("a name");
    if (text_.families.count(name_) > 0) return InvalidArgument(name_, " comes twice");
    text_.families[name_].help = rest.substr(space + 1);
    return absl::OkStatus();
  }

  Status Type(std::string_view rest) {
    const size_t space = rest.find(' ');
    const std::string type(rest.substr(space == std::string_view::npos ? 0 : space + 1));
    if (name_.empty() || rest.substr(0, space) != name_) {
      return InvalidArgument("TYPE without its HELP");
    }
    if (type != "counter" && type != "gauge" && type != "histogram") {
      return InvalidArgument("a type: ", type);
    }
    text_.families[name_].type = type;
    return absl::OkStatus();
  }

  PrometheusText text_;
  std::string name_;
};

}  // namespace

double PrometheusText::Value(const std::string& name, const Labels& labels) const {
  for (const auto& [family_name, family] : families) {
    for (const Sample& sample : family.samples) {
      if (sample.name == name && sample.labels == labels) return sample.value;
    }
  }
  return std::numeric_limits<double>::quiet_NaN();
}

StatusOr<PrometheusText> ParsePrometheusText(std::string_view text) {
  if (!text.ends_with('\n')) return InvalidArgument("the last line is not ended");
  Parser parser;
  size_t number = 0;
  for (const std::string_view line : Split(text.substr(0, text.size() - 1), '\n')) {
    ++number;
    RETURN_IF_ERROR(Annotate(parser.Line(line), StrCat("line ", number, ": ", line)));
  }
  return parser.Finish();
}

}  // namespace claw::test
