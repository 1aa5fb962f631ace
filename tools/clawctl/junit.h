#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "claw/node/v1/compat.pb.h"

namespace claw::ctl {

namespace pb = claw::node::v1;

// How one image of a suite went: its verdict, or why there is none.
struct SuiteOutcome {
  std::string name;
  // Of the probes that were asked for; what stands in for them when there is no verdict.
  std::vector<std::string> probes;
  bool tested = false;
  pb::Verdict verdict;
  std::string error;
};

// Text for an XML 1.0 document, attributes included: markup escaped, and what XML cannot carry at
// all (most control characters, bytes that are not UTF-8) replaced by U+FFFD.
std::string XmlEscape(std::string_view text);

// JUnit XML: one testsuite an image, one testcase a probe. A probe that ended otherwise than it has
// to is a failure, and so is one whose calls left the image degraded and not accepted; an image
// that could not be tested is an error. Failures name the calls.
std::string RenderJunit(const std::vector<SuiteOutcome>& outcomes);

}  // namespace claw::ctl
