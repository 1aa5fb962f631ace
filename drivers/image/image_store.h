#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/base/status.h"
#include "agent/model/image.h"
#include "drivers/image/signer.h"

namespace claw::image {

struct Options {
  std::filesystem::path root{};         // made if missing, mode 0700
  int64_t max_image_bytes = 32 * kGiB;  // unpacked, holes included, summed over layers
  int64_t max_image_files = 2'000'000;
  int64_t min_free_disk_bytes = 256 * kMiB;  // kept free on root's file system while unpacking
  std::vector<Signer> signers{};             // whose signatures can be asked for
};

// phase is one of "resolving", "fetching", "checking", "unpacking", "done". May be empty (no-op).
using Progress = std::function<void(std::string_view phase, std::string_view message)>;

// An image on its way here out of another store, whose root file system comes as one tar. One
// thread at a time. Destroyed before Finish has answered, it leaves nothing behind. All calls
// block, the destructor, too.
class Incoming {
 public:
  virtual ~Incoming() = default;
  // Nothing needs to be written: Finish may be called at once.
  virtual bool already_there() const = 0;
  // The next bytes of the tar; returns when they have been unpacked. The first error is the error
  // of all calls after it: MALICIOUS_LAYER, CORRUPT_IMAGE, IMAGE_TOO_LARGE, DISK_FULL.
  virtual Status Write(std::string_view bytes) = 0;
  // The tar is whole: the image is put into the store. Once, last.
  virtual StatusOr<Image> Finish() = 0;
};

// Images on disk, one folder per manifest digest. Fetches with skopeo, unpacks with umoci. A folder
// appears whole or not at all. Thread-safe; all calls block, for pool threads. Two pulls of the
// same image do the work once (the second finds it there). A refusal leaves nothing behind. What
// every call may also answer: FAILED_PRECONDITION (PROGRAM_MISSING) if skopeo or umoci is not
// installed, with the Debian package in `needed`.
class ImageStore {
 public:
  // Removes what an earlier run left half-made. One store at a time may have a root open. Errors:
  // the root cannot be made, is not absolute or has a ':' in it.
  static StatusOr<std::unique_ptr<ImageStore>> Open(Options options);
  virtual ~ImageStore() = default;

  // Fetches from a registry the variant for linux on `architecture` ("amd64", "arm64"; empty: this
  // machine's). The image's `names` holds the normalised reference, beside those it was pulled by
  // before; an older image of this architecture that had this name loses it. Errors:
  //   INVALID_ARGUMENT    BAD_REFERENCE, MALICIOUS_LAYER, CORRUPT_IMAGE, UNSUPPORTED_ARCHITECTURE
  //   NOT_FOUND           IMAGE_NOT_FOUND
  //   UNAVAILABLE         REGISTRY_UNREACHABLE, with retry_after
  //   PERMISSION_DENIED   REGISTRY_DENIED: the registry wants a login; SIGNATURE_REJECTED
  //   FAILED_PRECONDITION SIGNER_UNKNOWN, SIGNER_KEY_MISSING
  //   RESOURCE_EXHAUSTED  DISK_FULL, IMAGE_TOO_LARGE, with needed and available
  // `insecure` (plain HTTP, any certificate) is refused (INVALID_ARGUMENT, INSECURE_REGISTRY)
  // unless the registry's host is literally localhost, in 127.0.0.0/8 or [::1].
  // `signer`, unless empty: the image has to carry that signature, made under the name of this
  // repository; then the image's `signers` has the name. Of an index the image for this platform
  // has to be signed (`skopeo copy --all --sign-by` signs each): skopeo does not verify the
  // index's.
  virtual StatusOr<Image> Pull(const std::string& reference, const std::string& architecture,
                               bool insecure, const std::string& signer,
                               const Progress& progress) = 0;

  // Takes an image from this host's disk: "oci:/DIR[:TAG]", "oci-archive:/FILE[:TAG]",
  // "docker-archive:/FILE[:REF]", "dir:/DIR" (what `skopeo copy … dir:` writes) or "rootfs:/DIR" (a
  // root folder, copied). `reference` may be empty: then no name is added. `signer` as for Pull,
  // and for "dir:" alone: the other forms carry no signatures; the repository is that of
  // `reference`. A root folder does not say for which architecture it is, so the first import of it
  // decides. Errors as for Pull.
  virtual StatusOr<Image> Import(const std::string& source, const std::string& architecture,
                                 const std::string& reference, const std::string& signer,
                                 const Progress& progress) = 0;

  // Takes an image whose layers the sender has verified: its record is believed, names and signers
  // included, what the tar (`WriteTree` in tree_tar.h makes it) unpacks to is not. An image that is
  // there already gets the names and signers that it lacks. Errors: INVALID_ARGUMENT for what is no
  // digest; DISK_FULL by what the record says of its size. What it answers is gone before the
  // store.
  virtual StatusOr<std::unique_ptr<Incoming>> Receive(const Image& image) = 0;

  // Where the image's files are, or would be. The folder is shared by sandboxes and never written
  // to. Empty for what is no digest.
  virtual std::filesystem::path RootfsPath(const std::string& digest) const = 0;

  // The images on disk whose folders are whole, for rebuilding a lost store. Broken ones are moved
  // to root/quarantine and named in `quarantined`.
  struct Scan {
    std::vector<Image> images{};
    std::vector<std::string> quarantined{};
  };
  virtual StatusOr<Scan> ScanDisk() = 0;

  // Removes an image's files. Nothing there: OK. INVALID_ARGUMENT for what is no digest.
  virtual Status Remove(const std::string& digest) = 0;
};

// A reference with its defaults written out: "busybox" -> "docker.io/library/busybox:latest".
// BAD_REFERENCE.
StatusOr<std::string> NormalizeReference(std::string_view reference);

}  // namespace claw::image
