#include "drivers/image/unpack.h"

#include <absl/strings/ascii.h>

#include <csignal>

#include "agent/base/file.h"
#include "drivers/image/errors.h"
#include "drivers/image/layout.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;

// What a failed program says about the disk or the size; OK if it was something else.
Status ClassifyWriteError(const RunResult& run, std::string_view shown) {
  const std::string text = absl::AsciiStrToLower(ToAbsl(run.err));
  if (Contains(text, "no space left on device") || Contains(text, "disk quota exceeded")) {
    return DiskFull(StrCat("the disk is full: ", shown), 0, 0);
  }
  if (run.exit_code == 128 + SIGXFSZ || Contains(text, "sigxfsz") ||
      Contains(text, "file too large")) {
    return MakeError(StatusCode::kResourceExhausted,
                     StrCat("a file of the image is too large: ", shown),
                     {.reason = "IMAGE_TOO_LARGE", .constraint = "max_image_bytes"});
  }
  return absl::OkStatus();
}

// The last lines, which is where the reason stands.
std::string Tail(std::string_view text) {
  text = Trim(text);
  if (text.size() > 500) text.remove_prefix(text.size() - 500);
  return Printable(text, 500);
}

}  // namespace

Status UnpackLayout(const fs::path& layout, const fs::path& rootfs, const fs::path& home,
                    const Guard& guard) {
  ProcessSpec spec;
  spec.argv = {"umoci",        "raw", "unpack", "--image", StrCat(layout.string(), ":", kLayoutTag),
               rootfs.string()};
  spec.env = {"PATH=/usr/local/bin:/usr/bin:/bin", StrCat("HOME=", home.string()),
              StrCat("TMPDIR=", home.string())};
  spec.working_directory = home;
  auto run = RunGuarded(std::move(spec), guard);
  if (!run.ok()) return ExplainMissingProgram(run.status(), "umoci", "umoci");
  if (run->exit_code == 0) return absl::OkStatus();
  const std::string shown = StrCat("unpack the image: ", Tail(run->err));
  RETURN_IF_ERROR(ClassifyWriteError(*run, shown));
  if (Contains(run->err, "malicious")) return MaliciousLayer(shown);
  if (Contains(run->err, "operation not permitted")) return Internal(shown);
  return CorruptImage(shown);
}

Status CopyFolder(const fs::path& source, const fs::path& rootfs, const Guard& guard) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(source, error);
  if (!fs::is_directory(status)) {
    return ImageNotFound(StrCat("there is no folder ", Printable(source.string())));
  }
  RETURN_IF_ERROR(EnsureDirectory(rootfs, 0755));
  ProcessSpec spec;
  spec.argv = {
      "cp",           "-a", "--reflink=auto", "--one-file-system", "--", (source / ".").string(),
      rootfs.string()};
  auto run = RunGuarded(std::move(spec), guard);
  if (!run.ok()) return ExplainMissingProgram(run.status(), "cp", "coreutils");
  if (run->exit_code == 0) return absl::OkStatus();
  const std::string shown = StrCat("copy ", source.string(), ": ", Tail(run->err));
  RETURN_IF_ERROR(ClassifyWriteError(*run, shown));
  return Internal(shown);
}

Status RemoveWhole(const fs::path& path) {
  if (RemoveTree(path).ok()) return absl::OkStatus();
  // A hostile image may nest deeper than this process has descriptors; rm has no such limit.
  return RunOrError({.argv = {"rm", "-rf", "--", path.string()}},
                    {.timeout = std::chrono::minutes(10)})
      .status();
}

}  // namespace claw::image
