#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <memory>
#include <string>
#include <string_view>

#include "drivers/image/errors.h"

namespace claw::image {

// What the readers and the writer of tars share of libarchive.

struct FreeReader {
  void operator()(archive* handle) const { archive_read_free(handle); }
};
using ReaderPtr = std::unique_ptr<archive, FreeReader>;

struct FreeWriter {
  void operator()(archive* handle) const { archive_write_free(handle); }
};
using WriterPtr = std::unique_ptr<archive, FreeWriter>;

struct FreeEntry {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};
using EntryPtr = std::unique_ptr<archive_entry, FreeEntry>;

inline std::string ErrorText(archive* handle) {
  const char* text = archive_error_string(handle);
  return Printable(text == nullptr ? "unknown error" : text, 200);
}

// Raw bytes if the header has them; names that were declared UTF-8 may only be there as such.
inline std::string_view NameOf(const char* raw, const char* utf8) {
  if (raw != nullptr) return raw;
  return utf8 != nullptr ? utf8 : std::string_view();
}

inline std::string_view PathOf(archive_entry* entry) {
  return NameOf(archive_entry_pathname(entry), archive_entry_pathname_utf8(entry));
}

// Empty for what is no hard link.
inline std::string_view HardlinkOf(archive_entry* entry) {
  return NameOf(archive_entry_hardlink(entry), archive_entry_hardlink_utf8(entry));
}

}  // namespace claw::image
