#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace claw::test {

// One entry of a tar, written as it is told to, however wrong or hostile that is.
struct TarEntry {
  std::string name;
  char type =
      '0';  // '0' file, '1' hard link, '2' symbolic link, '3' char, '4' block, '5' folder, '6' FIFO
  std::string content{};
  std::string link{};
  unsigned mode = 0755;
  int uid = 0;
  int gid = 0;
  int64_t declared_size = -1;                // what the header claims; -1: the content's size
  std::map<std::string, std::string> pax{};  // extended headers put before the entry
};

// A ustar archive with its end marker. GNU's base-256 form is used for sizes beyond 8 GiB.
std::string MakeTar(const std::vector<TarEntry>& entries);

// "gzip", "zstd" or "none".
std::string Compress(std::string_view bytes, std::string_view with);

struct ImageLayer {
  std::vector<TarEntry> entries{};
  std::string compression = "gzip";
  std::string raw_tar{};  // instead of entries
};

struct ImageSpec {
  std::vector<ImageLayer> layers{};
  std::string architecture{};  // "": this machine's
  std::string process_json = R"({"Cmd":["/bin/sh"],"Env":["PATH=/bin"]})";
  std::string config_json{};  // the whole config instead
  bool wrong_diff_ids = false;
};

// The folders /bin, /etc and busybox as /bin/busybox and /bin/sh.
ImageLayer BusyboxLayer();
// busybox alone, for this machine.
ImageSpec BusyboxImage();

// Writes an OCI layout with one image under the tag "v1" and answers the manifest's digest.
std::string WriteOciLayout(const std::filesystem::path& folder, const ImageSpec& image);
// One with an index of several platforms under "v1"; the digests are those of the manifests.
std::vector<std::string> WriteOciIndex(const std::filesystem::path& folder,
                                       const std::vector<ImageSpec>& images);
// The layout of a folder as one tar.
void WriteOciArchive(const std::filesystem::path& file, const ImageSpec& image);
// As `docker save` writes it, tagged `reference`.
void WriteDockerArchive(const std::filesystem::path& file, const ImageSpec& image,
                        const std::string& reference);

void WriteBytes(const std::filesystem::path& file, std::string_view bytes);
std::string ReadBytes(const std::filesystem::path& file);
std::filesystem::path BlobFile(const std::filesystem::path& layout, std::string_view digest);

}  // namespace claw::test
