#pragma once

#include <filesystem>
#include <string>

#include "agent/base/subprocess.h"

namespace claw::test {

// Debian's docker-registry on a loopback port, plain HTTP, its blobs in a folder of the test's. Up
// when the constructor returns; stopped and reaped by the destructor. Throws if it does not come
// up.
class Registry {
 public:
  struct Options {
    bool require_login = false;  // nobody may log in then
  };
  explicit Registry(const std::filesystem::path& folder);
  Registry(const std::filesystem::path& folder, Options options);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // "127.0.0.1:PORT"
  [[nodiscard]] std::string host() const { return "127.0.0.1:" + std::to_string(port_); }

  // Puts the image "v1" of an OCI layout there, as `name` ("team/app:v1"); all of its platforms if
  // it is an index. `format`: "oci" or "v2s2" (Docker's).
  void Push(const std::filesystem::path& layout, const std::string& name,
            const std::string& format = "oci") const;

  // Ends it now; the port refuses connections from then on.
  void Stop();

 private:
  bool Start(const Options& options);

  std::filesystem::path folder_;
  int port_ = 0;
  Process process_;
};

}  // namespace claw::test
