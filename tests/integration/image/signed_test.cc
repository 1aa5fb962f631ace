#include <cstdlib>

#include "agent/base/subprocess.h"
#include "tests/integration/image/store_fixture.h"
#include "tests/support/registry.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;
using test::BusyboxImage;
using test::Registry;

// Somebody who signs with GnuPG, in a home of its own, and ends its daemons.
class Keys {
 public:
  explicit Keys(const fs::path& folder) : home_(folder / "gnupg") {
    fs::create_directories(home_);
    fs::permissions(home_, fs::perms::owner_all);
  }
  ~Keys() { Run({.argv = {"gpgconf", "--kill", "all"}, .env = Environment()}).IgnoreError(); }

  // Answers the file with the public key.
  fs::path Make(const std::string& who) const {
    Must({"gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", who, "ed25519",
          "sign", "never"});
    const fs::path file = home_ / (who + ".gpg");
    Must({"gpg", "--batch", "--output", file.string(), "--export", who});
    return file;
  }

  // Copies from a layout to a registry or a folder and signs on the way.
  void Sign(const std::string& who, const std::string& source, const std::string& target,
            const fs::path& locations, const std::vector<std::string>& options = {}) const {
    std::vector<std::string> argv = {
        "skopeo",  "--insecure-policy",       "--registries.d",     locations.string(), "copy",
        "--quiet", "--dest-tls-verify=false", "--preserve-digests", "--sign-by",        who};
    argv.insert(argv.end(), options.begin(), options.end());
    argv.insert(argv.end(), {source, target});
    Must(argv);
  }

 private:
  [[nodiscard]] std::vector<std::string> Environment() const {
    return {"PATH=/usr/bin:/bin", "GNUPGHOME=" + home_.string(), "HOME=" + home_.string()};
  }
  void Must(std::vector<std::string> argv) const {
    const auto done = RunOrError({.argv = std::move(argv), .env = Environment()});
    INFO(Shown(done.status()));
    REQUIRE(done.ok());
  }

  fs::path home_;
};

class Signed {
 public:
  Signed() {
    fs::create_directories(dir_.path() / "locations");
    test::WriteBytes(
        dir_.path() / "locations/signatures.yaml",
        "default-docker: {lookaside: " + url() + ", lookaside-staging: " + url() + "}\n");
    fs::create_directories(dir_.path() / "signatures");
  }

  [[nodiscard]] Options WithSigners() const {
    return {.signers = {{.name = "release", .key_file = release, .signatures_url = url()},
                        {.name = "other", .key_file = other, .signatures_url = url()},
                        {.name = "lost", .key_file = dir_.path() / "no-such-key"}}};
  }
  [[nodiscard]] fs::path locations() const { return dir_.path() / "locations"; }
  [[nodiscard]] fs::path signatures() const { return dir_.path() / "signatures"; }

 private:
  [[nodiscard]] std::string url() const { return "file://" + signatures().string(); }
  test::TempDir dir_;

 public:
  const Keys keys{dir_.path()};
  const fs::path release = keys.Make("release@clawlet.test");
  const fs::path other = keys.Make("other@clawlet.test");
};

TEST_CASE("an image is taken under the signer's name only if it carries that signature") {
  const Signed world;
  StoreFixture fixture(world.WithSigners());
  const Registry registry(fixture.work() / "registry");
  const std::string layout = (fixture.work() / "layout").string();
  const std::string digest = test::WriteOciLayout(layout, BusyboxImage());
  const std::string name = registry.host() + "/team/app:v1";
  registry.Push(layout, "team/app:v1");
  const auto pull = [&](const std::string& reference, const std::string& signer) {
    return fixture.Pull(reference, "", signer);
  };

  CHECK(ReasonOf(pull(name, "release").status()) == "SIGNATURE_REJECTED");
  CHECK(ReasonOf(pull(name, "nobody").status()) == "SIGNER_UNKNOWN");
  CHECK(ReasonOf(pull(name, "lost").status()) == "SIGNER_KEY_MISSING");
  fixture.CheckNothingLeft();
  // Nobody asked for a signature, so there is none on it.
  const auto unsigned_image = pull(name, "");
  REQUIRE_OK(unsigned_image.status());
  CHECK(unsigned_image->signers.empty());

  world.keys.Sign("release@clawlet.test", "oci:" + layout + ":v1", "docker://" + name,
                  world.locations());
  // It is there already, and still the signature is looked at.
  CHECK(ReasonOf(pull(name, "other").status()) == "SIGNATURE_REJECTED");
  const auto image = pull(name, "release");
  REQUIRE_OK(image.status());
  CHECK(image->digest == digest);
  CHECK(image->signers == std::vector<std::string>{"release"});
  fixture.Reopen();
  const auto scan = fixture.store().ScanDisk();
  REQUIRE_OK(scan.status());
  REQUIRE(scan->images.size() == 1);
  CHECK(scan->images[0].signers == image->signers);

  SECTION("but not what was signed as something else") {
    registry.Push(layout, "team/else:v1");
    for (const auto& entry : fs::directory_iterator(world.signatures() / "team")) {
      const std::string folder = entry.path().filename().string();
      fs::copy(entry.path(), world.signatures() / "team" / ("else" + folder.substr(3)),
               fs::copy_options::recursive);
    }
    CHECK(ReasonOf(pull(registry.host() + "/team/else:v1", "release").status()) ==
          "SIGNATURE_REJECTED");
  }
  SECTION("and not with a signature that was tampered with") {
    REQUIRE(fixture.store().Remove(digest).ok());
    for (const auto& entry : fs::recursive_directory_iterator(world.signatures())) {
      if (!entry.is_regular_file()) continue;
      std::string bytes = test::ReadBytes(entry.path());
      bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
      test::WriteBytes(entry.path(), bytes);
    }
    CHECK(ReasonOf(pull(name, "release").status()) == "SIGNATURE_REJECTED");
    fixture.CheckNothingLeft();
  }
}

TEST_CASE("of a signed index the image for this platform is what has to be signed") {
  const Signed world;
  StoreFixture fixture(world.WithSigners());
  const Registry registry(fixture.work() / "registry");
  const fs::path layout = fixture.work() / "layout";
  test::ImageSpec foreign = BusyboxImage();
  foreign.architecture = "s390x";
  const std::vector<std::string> digests = test::WriteOciIndex(layout, {foreign, BusyboxImage()});
  const std::string name = registry.host() + "/team/many:v1";
  world.keys.Sign("release@clawlet.test", "oci:" + layout.string() + ":v1", "docker://" + name,
                  world.locations(), {"--all"});
  CHECK(ReasonOf(fixture.Pull(name, "", "other").status()) == "SIGNATURE_REJECTED");
  const auto image = fixture.Pull(name, "", "release");
  REQUIRE_OK(image.status());
  CHECK(image->digest == digests[1]);
  CHECK(image->signers == std::vector<std::string>{"release"});

  const std::string folder = "many@sha256=" + digests[1].substr(digests[1].find(':') + 1);
  REQUIRE(fs::remove_all(world.signatures() / "team" / folder) > 0);
  CHECK_FALSE(fs::is_empty(world.signatures() / "team"));
  CHECK(ReasonOf(fixture.Pull(name, "", "release").status()) == "SIGNATURE_REJECTED");
}

TEST_CASE("a folder that skopeo wrote can be imported with its signature") {
  const Signed world;
  StoreFixture fixture(world.WithSigners());
  const std::string layout = (fixture.work() / "layout").string();
  const std::string digest = test::WriteOciLayout(layout, BusyboxImage());
  const std::string folder = (fixture.work() / "folder").string();
  world.keys.Sign("release@clawlet.test", "oci:" + layout + ":v1", "dir:" + folder,
                  world.locations(), {"--sign-identity", "registry.example.com/team/app:v1"});
  const std::string name = "registry.example.com/team/app:v2";
  CHECK(ReasonOf(fixture.Import("oci:" + layout + ":v1", name, "release").status()) ==
        "NOT_SIGNABLE");
  CHECK(ReasonOf(fixture.Import("dir:" + folder, "", "release").status()) == "NAME_MISSING");
  CHECK(ReasonOf(fixture.Import("dir:" + folder, name, "other").status()) == "SIGNATURE_REJECTED");
  CHECK(ReasonOf(fixture.Import("dir:" + folder, "registry.example.com/team/else", "release")
                     .status()) == "SIGNATURE_REJECTED");
  fixture.CheckNothingLeft();
  const auto plain = fixture.Import("dir:" + folder);
  REQUIRE_OK(plain.status());
  CHECK(plain->digest == digest);
  CHECK(plain->signers.empty());
  const auto image = fixture.Import("dir:" + folder, name, "release");
  REQUIRE_OK(image.status());
  CHECK(image->names == std::vector<std::string>{name});
  CHECK(image->signers == std::vector<std::string>{"release"});
}

}  // namespace
}  // namespace claw::image
