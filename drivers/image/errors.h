#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/status.h"

namespace claw::image {

// The refusals of an image store, each with the stable reason that callers go by.
Status BadReference(std::string_view message);                                  // INVALID_ARGUMENT
Status CorruptImage(std::string_view message);                                  // INVALID_ARGUMENT
Status MaliciousLayer(std::string_view message);                                // INVALID_ARGUMENT
Status UnsupportedArchitecture(std::string_view has, std::string_view wanted);  // INVALID_ARGUMENT
Status ImageNotFound(std::string_view message);                                 // NOT_FOUND
Status RegistryUnreachable(std::string_view message);  // UNAVAILABLE, retry later
Status RegistryDenied(std::string_view message);       // PERMISSION_DENIED
Status SignatureRejected(std::string_view message);    // PERMISSION_DENIED
// RESOURCE_EXHAUSTED. `constraint` is the option that was not met: "max_image_bytes".
Status ImageTooLarge(std::string_view constraint, int64_t needed, int64_t available,
                     std::string_view unit);
Status DiskFull(std::string_view message, int64_t needed_bytes, int64_t available_bytes);

// A program that is not installed, with the Debian package that brings it; other errors unchanged.
Status ExplainMissingProgram(const Status& status, std::string_view program,
                             std::string_view package);

bool Contains(std::string_view text, std::string_view part);

// Text of an image, a registry or a program, fit for a message: at most `limit` bytes, and whatever
// is not printable ASCII becomes '?'.
std::string Printable(std::string_view text, size_t limit = 400);

}  // namespace claw::image
