#include "agent/app/server_keys.h"

#include "agent/app/key_makers.h"

namespace claw {
namespace {

constexpr std::string_view kTcpForm = "\"ADDRESS:PORT\", \"[ADDRESS]:PORT\", or \"\" for nowhere";

}  // namespace

void AddServerKeys(std::vector<ConfigKey>& keys) {
  keys.push_back(keys::Path(
      "server.socket", "Where the API is served; run_dir/clawlet.sock unless set", FIELD(socket)));
  keys.push_back(keys::Listen(
      "server.listen",
      "… and where it is served to other machines, with mutual TLS; nowhere unless set", kTcpForm,
      ParseTcpAddress, FIELD(tls.listen)));
  keys.push_back(keys::Path("server.certificate", "This node's certificate and those above it, PEM",
                            FIELD(tls.certificate)));
  keys.push_back(
      keys::Path("server.key", "Its private key, PEM; for nobody else to read", FIELD(tls.key)));
  keys.push_back(keys::Path("server.client_ca",
                            "Who has a certificate of these authorities is an administrator, PEM",
                            FIELD(tls.client_ca)));
}

std::string ServerProblem(const Config& config) {
  const Config::Tls& tls = config.tls;
  if (tls.listen.empty()) {
    return config.role == NodeRole::kGuest ? "a guest (node.role) needs server.listen" : "";
  }
  if (!tls.certificate.empty() && !tls.key.empty() && !tls.client_ca.empty()) return "";
  return "server.listen needs server.certificate, server.key and server.client_ca: nobody is "
         "served over a network without mutual TLS";
}

}  // namespace claw
