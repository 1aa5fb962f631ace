#include "drivers/image/layer_scan.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/base/digest.h"
#include "agent/base/unique_fd.h"
#include "drivers/image/libarchive.h"

namespace claw::image {
namespace {

constexpr size_t kMaxNameBytes = 4096;
// Deeper trees exhaust descriptors and path lengths of whatever walks them later.
constexpr size_t kMaxDepth = 200;
constexpr int64_t kBlockBytes = 4096;
// What tar itself needs for an entry, long names and attributes included.
constexpr int64_t kHeaderBytesPerEntry = 8 * kKiB;
constexpr std::string_view kWhiteout = ".wh.";

StatusOr<UniqueFd> OpenBlob(const std::filesystem::path& blob) {
  UniqueFd fd(::open(blob.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (fd.valid()) return fd;
  if (errno == ENOENT || errno == ELOOP) {
    return CorruptImage(StrCat("there is no blob ", blob.filename().string()));
  }
  return ErrnoError(errno, StrCat("open ", blob.string()));
}

// The blob's bytes on their way to the tar reader: hashed as they are, uncompressed, hashed and
// counted again. The first error is kept, as the callbacks of libarchive cannot carry one.
class LayerStream {
 public:
  LayerStream(UniqueFd fd, int copy_to) : fd_(std::move(fd)), copy_to_(copy_to) {}

  Status Open(Compression compression) {
    raw_.reset(archive_read_new());
    archive_read_support_format_raw(raw_.get());
    int added = ARCHIVE_OK;
    if (compression == Compression::kGzip) {
      added = archive_read_append_filter(raw_.get(), ARCHIVE_FILTER_GZIP);
    } else if (compression == Compression::kZstd) {
      added = archive_read_append_filter(raw_.get(), ARCHIVE_FILTER_ZSTD);
    }
    if (added != ARCHIVE_OK ||
        archive_read_open(raw_.get(), this, nullptr, &ReadBlob, nullptr) != ARCHIVE_OK) {
      return Failed(raw_.get());
    }
    archive_entry* ignored = nullptr;
    if (archive_read_next_header(raw_.get(), &ignored) != ARCHIVE_OK) return Failed(raw_.get());
    return absl::OkStatus();
  }

  // More of the tar; empty at its end and after an error.
  std::string_view NextTarBytes() {
    if (ended_ || !status_.ok()) return {};
    const void* data = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int result = archive_read_data_block(raw_.get(), &data, &size, &offset);
    if (result == ARCHIVE_EOF) {
      ended_ = true;
      return {};
    }
    if (result != ARCHIVE_OK) {
      status_ = Failed(raw_.get());
      return {};
    }
    const std::string_view bytes(static_cast<const char*>(data), size);
    tar_hash_.Update(bytes);
    tar_bytes_ = SaturatingAdd(tar_bytes_, static_cast<int64_t>(size));
    if (tar_bytes_ > max_tar_bytes_) {
      status_ = ImageTooLarge("max_image_bytes", tar_bytes_, max_tar_bytes_, "bytes");
      return {};
    }
    if (Status copied = Copy(bytes); !copied.ok()) {
      status_ = copied;
      return {};
    }
    return bytes;
  }

  // Reads what is left behind the tar's end, so that the digests are those of the whole.
  StatusOr<ScannedLayer> Finish() {
    while (status_.ok() && !ended_) NextTarBytes();
    while (status_.ok() && NextBlobBytes() > 0) {
    }
    RETURN_IF_ERROR(status_);
    return ScannedLayer{.digest = blob_hash_.Finish(),
                        .diff_id = tar_hash_.Finish(),
                        .blob_bytes = blob_bytes_,
                        .tar_bytes = tar_bytes_};
  }

  void set_max_tar_bytes(int64_t bytes) { max_tar_bytes_ = bytes; }
  [[nodiscard]] const Status& status() const { return status_; }

 private:
  Status Failed(archive* handle) const {
    if (!status_.ok()) return status_;
    return CorruptImage(StrCat("a layer cannot be read: ", ErrorText(handle)));
  }

  Status Copy(std::string_view bytes) const {
    while (copy_to_ >= 0 && !bytes.empty()) {
      const ssize_t written = ::write(copy_to_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return ErrnoError(errno, "write an uncompressed layer");
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  size_t NextBlobBytes() {
    ssize_t got = 0;
    while ((got = ::read(fd_.get(), buffer_.data(), buffer_.size())) < 0 && errno == EINTR) {
    }
    if (got < 0) {
      status_ = ErrnoError(errno, "read a layer");
      return 0;
    }
    blob_hash_.Update({buffer_.data(), static_cast<size_t>(got)});
    blob_bytes_ += got;
    return static_cast<size_t>(got);
  }

  static la_ssize_t ReadBlob(archive* handle, void* self, const void** data) {
    auto* stream = static_cast<LayerStream*>(self);
    const size_t got = stream->NextBlobBytes();
    if (!stream->status_.ok()) {
      archive_set_error(handle, EIO, "read failed");
      return -1;
    }
    *data = stream->buffer_.data();
    return static_cast<la_ssize_t>(got);
  }

  UniqueFd fd_;
  int copy_to_;
  ReaderPtr raw_;
  Sha256 blob_hash_;
  Sha256 tar_hash_;
  int64_t blob_bytes_ = 0;
  int64_t tar_bytes_ = 0;
  int64_t max_tar_bytes_ = INT64_MAX;
  bool ended_ = false;
  Status status_;
  std::array<char, 65536> buffer_{};
};

la_ssize_t ReadTar(archive* handle, void* stream, const void** data) {
  auto* layer = static_cast<LayerStream*>(stream);
  const std::string_view bytes = layer->NextTarBytes();
  if (!layer->status().ok()) {
    archive_set_error(handle, EIO, "read failed");
    return -1;
  }
  *data = bytes.data();
  return static_cast<la_ssize_t>(bytes.size());
}

bool NamesRoot(std::string_view name) {
  const std::vector<std::string_view> parts = Split(name, '/');
  return std::all_of(parts.begin(), parts.end(),
                     [](std::string_view part) { return part.empty() || part == "."; });
}

Status CheckEntry(archive_entry* entry) {
  const std::string_view name = PathOf(entry);
  if (name.empty()) return CorruptImage("a layer has an entry without a name");
  RETURN_IF_ERROR(CheckEntryName(name));
  if (NamesRoot(name) && archive_entry_filetype(entry) != AE_IFDIR) {
    return MaliciousLayer("a layer makes the root something other than a folder");
  }
  if (archive_entry_hardlink(entry) == nullptr && archive_entry_hardlink_utf8(entry) == nullptr) {
    return absl::OkStatus();
  }
  const std::string_view target = HardlinkOf(entry);
  if (NamesRoot(target)) return MaliciousLayer("a layer has a hard link to the root");
  return Annotate(CheckEntryName(target), "target of a hard link");
}

Status Count(archive_entry* entry, const ScanLimits& limits, ScanUsage& usage) {
  const bool is_link =
      archive_entry_hardlink(entry) != nullptr || archive_entry_hardlink_utf8(entry) != nullptr;
  const bool has_data = archive_entry_filetype(entry) == AE_IFREG && !is_link;
  // For a sparse file this is the size with its holes, which is what an unpacker may write out.
  const int64_t size = has_data && archive_entry_size_is_set(entry) ? archive_entry_size(entry) : 0;
  if (size < 0) return CorruptImage("a layer has an entry of negative size");
  return AddEntry(size, limits, usage);
}

Status ScanEntries(LayerStream& stream, const ScanLimits& limits, ScanUsage& usage) {
  const ReaderPtr tar(archive_read_new());
  archive_read_support_format_tar(tar.get());
  // Names stay the bytes that they are, whatever character set the agent runs with.
  archive_read_set_option(tar.get(), "tar", "hdrcharset", "BINARY");
  const auto failed = [&]() -> Status {
    RETURN_IF_ERROR(stream.status());
    return CorruptImage(StrCat("a layer is no tar: ", ErrorText(tar.get())));
  };
  const int64_t headers = SaturatingMul(limits.max_files - usage.files + 2, kHeaderBytesPerEntry);
  stream.set_max_tar_bytes(SaturatingAdd(SaturatingAdd(limits.max_bytes, kMiB), headers));
  if (archive_read_open(tar.get(), &stream, nullptr, &ReadTar, nullptr) != ARCHIVE_OK) {
    return failed();
  }
  while (true) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(tar.get(), &entry);
    if (result == ARCHIVE_EOF) return absl::OkStatus();
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN) return failed();
    RETURN_IF_ERROR(CheckEntry(entry));
    RETURN_IF_ERROR(Count(entry, limits, usage));
  }
}

}  // namespace

Status AddEntry(int64_t size_bytes, const ScanLimits& limits, ScanUsage& usage) {
  usage.files += 1;
  usage.bytes = SaturatingAdd(usage.bytes, size_bytes);
  const int64_t blocks = size_bytes / kBlockBytes + (size_bytes % kBlockBytes != 0 ? 1 : 0);
  usage.disk_bytes = SaturatingAdd(usage.disk_bytes, SaturatingMul(blocks, kBlockBytes));
  if (usage.files > limits.max_files) {
    return ImageTooLarge("max_image_files", usage.files, limits.max_files, "files");
  }
  if (usage.bytes > limits.max_bytes) {
    return ImageTooLarge("max_image_bytes", usage.bytes, limits.max_bytes, "bytes");
  }
  if (usage.disk_bytes > limits.disk_bytes) {
    return DiskFull(StrCat("unpacking takes at least ", FormatBytes(usage.disk_bytes), ", ",
                           FormatBytes(limits.disk_bytes), " may be used"),
                    usage.disk_bytes, limits.disk_bytes);
  }
  return absl::OkStatus();
}

Status CheckEntryName(std::string_view name) {
  if (name.size() >= kMaxNameBytes) return CorruptImage("a layer has a name that is too long");
  size_t depth = 0;
  for (const std::string_view part : Split(name, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      return MaliciousLayer(StrCat("a layer has an entry that climbs out: ", Printable(name, 120)));
    }
    ++depth;
    // ".wh.X" removes X beside it, so X must be a plain name.
    if (!part.starts_with(kWhiteout)) continue;
    const std::string_view hidden = part.substr(kWhiteout.size());
    if (hidden.empty() || hidden == "." || hidden == "..") {
      return MaliciousLayer("a layer has a whiteout of a folder itself or of the one above it");
    }
  }
  if (depth > kMaxDepth) {
    return CorruptImage(StrCat("a layer nests folders deeper than ", kMaxDepth));
  }
  return absl::OkStatus();
}

StatusOr<Compression> DetectCompression(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenBlob(file));
  std::array<unsigned char, 4> magic{};
  const ssize_t got = ::pread(fd.get(), magic.data(), magic.size(), 0);
  if (got < 0) return ErrnoError(errno, StrCat("read ", file.string()));
  if (got >= 2 && magic[0] == 0x1f && magic[1] == 0x8b) return Compression::kGzip;
  const std::array<unsigned char, 4> zstd = {0x28, 0xb5, 0x2f, 0xfd};
  if (got == 4 && magic == zstd) return Compression::kZstd;
  return Compression::kNone;
}

StatusOr<ScannedLayer> ScanLayer(const std::filesystem::path& blob, const ScanLimits& limits,
                                 ScanUsage& usage, int copy_to) {
  ASSIGN_OR_RETURN(const Compression compression, DetectCompression(blob));
  ASSIGN_OR_RETURN(UniqueFd fd, OpenBlob(blob));
  LayerStream stream(std::move(fd), copy_to);
  RETURN_IF_ERROR(stream.Open(compression));
  RETURN_IF_ERROR(ScanEntries(stream, limits, usage));
  ASSIGN_OR_RETURN(ScannedLayer layer, stream.Finish());
  layer.compression = compression;
  return layer;
}

}  // namespace claw::image
