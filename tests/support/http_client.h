#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/unique_fd.h"

namespace claw::test {

// One connection to an HTTP server on this machine, byte by byte. A read that nothing comes for
// gives up after half a minute.
class HttpClient {
 public:
  // As ParseListenAddress reads it. Throws if nobody listens there.
  explicit HttpClient(const std::string& address);

  // False: the other side has gone.
  bool Send(std::string_view text);
  // "GET /metrics", with the header that is needed.
  bool Ask(std::string_view method_and_path);

  struct Answer {
    int status = 0;
    std::map<std::string, std::string> header{};  // names in lower case
    std::string body{};
  };
  // Absent: the connection ended before one was complete. An answer to HEAD has no body.
  std::optional<Answer> Read(bool to_head = false);
  // All that comes until the other side closes.
  std::string ReadAll();

 private:
  bool More();

  UniqueFd socket_;
  std::string buffer_;
};

}  // namespace claw::test
