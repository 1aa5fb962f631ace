#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "agent/base/status.h"
#include "agent/model/image.h"
#include "drivers/image/image_store.h"

namespace claw::image {

// A folder below root/tmp that is gone when its owner goes. Movable.
class Scratch {
 public:
  explicit Scratch(std::filesystem::path path) : path_(std::move(path)) {}
  Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Scratch& operator=(Scratch&&) = delete;
  ~Scratch();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// The folders of the store (see README.md) and what may be done to them. Knows nothing of where
// images come from. Thread-safe; what is done to one digest is serialised by holding its Lock.
class ImageDisk {
 public:
  // Makes what is missing, empties root/tmp.
  static StatusOr<std::unique_ptr<ImageDisk>> Open(const std::filesystem::path& root);

  // Held for as long as a digest's folder is looked for, built or removed.
  class Lock {
   public:
    explicit Lock(std::shared_ptr<std::mutex> mutex) : mutex_(std::move(mutex)), held_(*mutex_) {}

   private:
    std::shared_ptr<std::mutex> mutex_;  // outlives held_
    std::unique_lock<std::mutex> held_;
  };
  Lock LockDigest(const std::string& digest);

  StatusOr<Scratch> MakeScratch();
  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::filesystem::path RootfsPath(const std::string& digest) const;

  // The image if it is there and whole; a broken one is put into quarantine first. Needs the Lock.
  StatusOr<std::optional<Image>> Find(const std::string& digest);

  // Makes `staging`, which holds rootfs/, the image's folder: durable, whole or not at all. Its
  // names are taken from other images of its architecture. Needs the Lock, and no such image there.
  Status Publish(const std::filesystem::path& staging, const Image& image);

  // Gives the image one more name, and takes it from the image of its architecture that had it.
  // Needs the Lock.
  Status AddName(Image& image, const std::string& name);

  // Adds to those whose signature was verified. Needs the Lock.
  Status AddSigner(Image& image, const std::string& signer);

  StatusOr<ImageStore::Scan> ScanAll();
  // Needs the Lock.
  Status Remove(const std::string& digest);

 private:
  explicit ImageDisk(std::filesystem::path root) : root_(std::move(root)) {}
  [[nodiscard]] std::filesystem::path Folder(const std::string& digest) const;
  StatusOr<Image> Load(const std::string& digest) const;
  // OK as well if the folder has gone meanwhile; answers whether there was anything to move.
  StatusOr<bool> Quarantine(const std::string& digest);
  Status TakeName(const std::string& name, const Image& taker);

  std::filesystem::path root_;
  std::mutex names_mutex_;  // image.json is rewritten and folders come and go under it
  std::mutex locks_mutex_;
  std::map<std::string, std::weak_ptr<std::mutex>> locks_;
};

}  // namespace claw::image
