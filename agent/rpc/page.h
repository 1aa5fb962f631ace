#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"
#include "agent/rpc/names.h"

namespace claw::rpc {

// A page token holds the key of the last entry on the page before, so that pages neither skip nor
// repeat what stays while other entries come and go. `list` names the list with its filter: a token
// of another list is refused. Tokens are opaque to callers; a checksum finds those made up.
std::string MakePageToken(std::string_view list, std::string_view last_key);

// The key in a token; empty for an empty token. INVALID_ARGUMENT for anything that MakePageToken
// did not make for the same list.
StatusOr<std::string> ParsePageToken(std::string_view list, std::string_view token);

// A sort key that orders non-negative numbers as text.
std::string NumberKey(int64_t number);

template <typename Entry>
struct Page {
  std::vector<const Entry*> entries{};
  std::string next_token{};  // empty: the last page
};

// The page after `token` of entries that are sorted by `key_of`.
template <typename Entry, typename KeyOf>
StatusOr<Page<Entry>> CutPage(std::string_view list, const std::vector<Entry>& sorted,
                              const KeyOf& key_of, int32_t page_size, std::string_view token) {
  ASSIGN_OR_RETURN(const int size, ParsePageSize(page_size));
  ASSIGN_OR_RETURN(const std::string after, ParsePageToken(list, token));
  Page<Entry> page;
  for (const Entry& entry : sorted) {
    if (!after.empty() && key_of(entry) <= after) continue;
    if (page.entries.size() == static_cast<size_t>(size)) {
      page.next_token = MakePageToken(list, key_of(*page.entries.back()));
      break;
    }
    page.entries.push_back(&entry);
  }
  return page;
}

// The page that a request asks for, as its response; `add` puts an entry's message there.
template <typename Response, typename Request, typename Entry, typename KeyOf, typename Add>
StatusOr<Response> RespondPage(std::string_view list, const std::vector<Entry>& sorted,
                               const KeyOf& key_of, const Request& request, const Add& add) {
  ASSIGN_OR_RETURN(const Page<Entry> page,
                   CutPage(list, sorted, key_of, request.page_size(), request.page_token()));
  Response response;
  for (const Entry* entry : page.entries) add(*entry, response);
  response.set_next_page_token(page.next_token);
  return response;
}

}  // namespace claw::rpc
