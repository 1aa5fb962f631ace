#include "drivers/network/linux/nft.h"

#include <nftables/libnftables.h>

#include <memory>

namespace claw::network {
namespace {

constexpr size_t kMaxErrorText = 600;

struct Free {
  void operator()(nft_ctx* context) const { ::nft_ctx_free(context); }
};
using Context = std::unique_ptr<nft_ctx, Free>;

Context MakeContext() {
  Context context(::nft_ctx_new(NFT_CTX_DEFAULT));
  if (context) {
    ::nft_ctx_buffer_output(context.get());
    ::nft_ctx_buffer_error(context.get());
  }
  return context;
}

Status Run(const Context& context, const std::string& script) {
  if (!context) return Internal("nftables: no memory for a context");
  if (::nft_run_cmd_from_buffer(context.get(), script.c_str()) == 0) return absl::OkStatus();
  const char* text = ::nft_ctx_get_error_buffer(context.get());
  return MakeError(StatusCode::kInternal,
                   StrCat("nftables: ", Trim(std::string(text).substr(0, kMaxErrorText))),
                   {.reason = "NFTABLES_FAILED"});
}

}  // namespace

Status RunNft(const std::string& script) { return Run(MakeContext(), script); }

StatusOr<nlohmann::json> ListNft(const std::string& command) {
  const Context context = MakeContext();
  if (context) ::nft_ctx_output_set_flags(context.get(), NFT_CTX_OUTPUT_JSON);
  RETURN_IF_ERROR(Run(context, command));
  nlohmann::json answer =
      nlohmann::json::parse(::nft_ctx_get_output_buffer(context.get()), nullptr, false);
  if (!answer.is_object() || !answer.contains("nftables") || !answer["nftables"].is_array()) {
    return Internal("nftables: the answer to '", command, "' is no JSON of its");
  }
  return std::move(answer["nftables"]);
}

StatusOr<std::string> NftVersion() {
  ASSIGN_OR_RETURN(const nlohmann::json listed, ListNft("list tables"));
  for (const auto& object : listed) {
    if (object.contains("metainfo")) return object["metainfo"].value("version", std::string());
  }
  return Internal("nftables: no version in its answer");
}

}  // namespace claw::network
