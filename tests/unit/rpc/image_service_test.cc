// Images of several architectures. The node under test is an amd64 one with virtual machines.

#include <set>

#include "tests/unit/rpc/service_fixture.h"

namespace claw::test {
namespace {

using Names = std::vector<std::string>;

class ImageFixture : public ServiceFixture {
 public:
  struct Got {
    grpc::Status status;
    std::vector<pb::Image> images;
    pb::Image first;

    Names architectures() const {
      Names all;
      for (const pb::Image& image : images) all.push_back(image.architecture());
      return all;
    }
    std::string name(const std::string& architecture) const {
      for (const pb::Image& image : images) {
        if (image.architecture() == architecture) return image.name();
      }
      return "none";
    }
  };

  Got Pull(const std::string& reference, const Names& platforms = {}, const std::string& id = "") {
    pb::PullImageRequest request;
    request.set_reference(reference);
    request.set_request_id(id);
    request.mutable_platforms()->Assign(platforms.begin(), platforms.end());
    Call call;
    return Read(*images->PullImage(&call, request));
  }
  Got ImportAs(const std::string& source, const std::string& reference,
               const Names& platforms = {}) {
    pb::ImportImageRequest request;
    request.set_source(source);
    request.set_reference(reference);
    request.mutable_platforms()->Assign(platforms.begin(), platforms.end());
    Call call;
    return Read(*images->ImportImage(&call, request));
  }

  grpc::Status Remove(const std::string& name) {
    pb::DeleteImageRequest request;
    request.set_name(name);
    google::protobuf::Empty response;
    Call call;
    return images->DeleteImage(&call, request, &response);
  }

  std::string Find(const std::string& name) {
    pb::GetImageRequest request;
    request.set_name(name);
    pb::Image image;
    Call call;
    return images->GetImage(&call, request, &image).ok() ? image.name() : "none";
  }

  // Name -> its references.
  std::map<std::string, Names> List() {
    pb::ListImagesResponse response;
    Call call;
    REQUIRE(images->ListImages(&call, {}, &response).ok());
    std::map<std::string, Names> all;
    for (const pb::Image& image : response.images()) {
      all[image.name()] = {image.references().begin(), image.references().end()};
    }
    return all;
  }

  size_t CountOnDisk() { return images_on_disk().ScanDisk()->images.size(); }

 private:
  static Got Read(grpc::ClientReaderInterface<pb::ImageProgress>& stream) {
    Got got;
    for (pb::ImageProgress progress; stream.Read(&progress);) {
      if (!progress.has_image()) continue;
      got.first = progress.image();
      got.images = {progress.images().begin(), progress.images().end()};
    }
    got.status = stream.Finish();
    return got;
  }
};

TEST_CASE_METHOD(ImageFixture, "images: without platforms those that this node can run") {
  const Got both = Pull("both:1");
  REQUIRE(both.status.ok());
  CHECK(both.architectures() == Names{"amd64", "arm64"});
  CHECK(both.first.name() == both.name("amd64"));
  CHECK(Find("images/both:1") == both.name("amd64"));
  CHECK(Find(both.name("arm64")) == both.name("arm64"));
  const Names name = {"docker.io/library/both:1"};
  CHECK(List() ==
        std::map<std::string, Names>{{both.name("amd64"), name}, {both.name("arm64"), name}});
  for (const pb::Image& image : both.images) {
    const auto seen = EventsOf(image.name());
    REQUIRE(seen.size() == 1);
    CHECK(seen[0].type() == "image.pulled");
  }
  const auto variants = node().FindVariants("both:1");
  REQUIRE(variants->size() == 2);
  CHECK(variants->at(0).architecture == "amd64");

  CHECK(Pull("app:1").architectures() == Names{"amd64"});
  CHECK(Pull("arm64-only:1").architectures() == Names{"arm64"});
  CHECK(Find("images/arm64-only:1") != "none");
  CHECK(Pull("missing:1").status.error_code() == grpc::NOT_FOUND);
}

TEST_CASE_METHOD(ImageFixture, "images: of several at once each step says whose it is") {
  std::set<std::string> steps;
  const auto pull = [&](const std::string& reference) {
    steps.clear();
    const auto note = [&steps](std::string_view phase, std::string_view message) {
      steps.insert(StrCat(phase, ": ", message));
    };
    REQUIRE(Run(node().PullImage({}, reference, false, "", {}, note)).ok());
  };
  pull("both:1");
  CHECK(steps.count("fetching: linux/amd64: 0 of 100") == 1);
  CHECK(steps.count("fetching: linux/arm64: 99 of 100") == 1);
  pull("app:1");
  CHECK(steps.count("fetching: linux/amd64: 0 of 100") == 1);
  vms().turned_off = true;
  Restart();
  pull("app:2");
  CHECK(steps.count("fetching: 0 of 100") == 1);
}

TEST_CASE_METHOD(ImageFixture, "images: a node without virtual machines takes its own platform") {
  vms().turned_off = true;
  Restart();
  CHECK(Pull("both:1").architectures() == Names{"amd64"});
  const Got other = Pull("arm64-only:1");
  CHECK(ReasonOf(other.status) == "UNSUPPORTED_ARCHITECTURE");
  CHECK(CountOnDisk() == 1);
  // Whoever names it gets it all the same.
  CHECK(Pull("arm64-only:1", {"linux/arm64"}).architectures() == Names{"arm64"});
}

TEST_CASE_METHOD(ImageFixture, "images: of platforms that are named there have to be all") {
  CHECK(Pull("both:1", {"linux/arm64"}).architectures() == Names{"arm64"});
  CHECK(Pull("both:2", {"arm64", "amd64", "linux/arm64"}).architectures() ==
        Names{"arm64", "amd64"});
  const auto before = List();
  const size_t on_disk = CountOnDisk();
  const Got half = Pull("app:1", {"amd64", "arm64"});
  CHECK(half.status.error_code() == grpc::INVALID_ARGUMENT);
  CHECK(ReasonOf(half.status) == "UNSUPPORTED_ARCHITECTURE");
  CHECK(List() == before);
  CHECK(CountOnDisk() == on_disk);

  // What was here before stays.
  REQUIRE(Pull("app:1").status.ok());
  CHECK_FALSE(Pull("app:1", {"amd64", "arm64"}).status.ok());
  CHECK(Find("images/app:1") != "none");
  CHECK(CountOnDisk() == on_disk + 1);

  for (const char* bad : {"s390x", "linux/arm/v7", ""}) {
    const Got refused = Pull("both:1", {"amd64", bad});
    CHECK(refused.status.error_code() == grpc::INVALID_ARGUMENT);
    CHECK(DetailOf(refused.status).constraint() == "platforms");
    CHECK(ImportAs("oci:/both", "x", {bad}).status.error_code() == grpc::INVALID_ARGUMENT);
  }
}

TEST_CASE_METHOD(ImageFixture, "images: a root folder is of one platform") {
  const Got own = ImportAs("rootfs:/both", "both:1");
  CHECK(own.architectures() == Names{"amd64"});
  CHECK(ImportAs("rootfs:/both", "both:1", {"arm64"}).architectures() == Names{"arm64"});
}

TEST_CASE_METHOD(ImageFixture, "images: the same request again has the same answer") {
  const Got first = Pull("both:1", {}, "r-1");
  REQUIRE(first.images.size() == 2);
  const auto check = [&] {
    const Got again = Pull("both:1", {}, "r-1");
    REQUIRE(again.status.ok());
    CHECK(again.first.name() == first.first.name());
    CHECK(again.architectures() == first.architectures());
    CHECK(EventsOf(first.name("arm64")).size() == 1);
  };
  check();
  CHECK(ReasonOf(Pull("both:1", {"amd64"}, "r-1").status) == "REQUEST_ID_REUSED");
  Restart();
  check();
  REQUIRE(Remove(first.name("arm64")).ok());
  CHECK(Pull("both:1", {}, "r-1").status.error_code() == grpc::NOT_FOUND);
}

TEST_CASE_METHOD(ImageFixture, "images: a name moves for its architecture alone") {
  const Got first = ImportAs("oci:/both", "app:1");
  const Got moved = ImportAs("oci:/arm64-new", "app:1");
  REQUIRE(moved.architectures() == Names{"arm64"});
  const Names name = {"docker.io/library/app:1"};
  const std::map<std::string, Names> expected = {
      {first.name("amd64"), name}, {first.name("arm64"), {}}, {moved.name("arm64"), name}};
  CHECK(List() == expected);
  Restart();
  CHECK(List() == expected);
}

TEST_CASE_METHOD(ImageFixture, "images: a name is taken from all that have it") {
  const Got both = ImportAs("oci:/both", "app:1");
  ImportAs("oci:/both", "app:2", {"arm64"});
  REQUIRE(Remove("images/app:1").ok());
  CHECK(List() == std::map<std::string, Names>{{both.name("arm64"), {"docker.io/library/app:2"}}});
  CHECK(Find("images/app:1") == "none");
  CHECK(CountOnDisk() == 1);
  CHECK(Remove("images/app:1").error_code() == grpc::NOT_FOUND);

  const Got again = ImportAs("oci:/both", "app:2");
  REQUIRE(Remove(again.name("arm64")).ok());
  CHECK(Find("images/app:2") == again.name("amd64"));
  REQUIRE(Remove("images/app:2").ok());
  CHECK(List().empty());
}

TEST_CASE_METHOD(ImageFixture, "images: none of a name goes while one of them is used") {
  Prepare(pb::TRUST_TRUSTED);
  const std::string used = Find("images/app");
  REQUIRE(ImportAs("oci:/arm64-app", "app").status.ok());
  const pb::Sandbox sandbox = Create(Request());
  const auto before = List();
  REQUIRE(before.size() == 2);
  CHECK(ReasonOf(Remove("images/app")) == "IMAGE_IN_USE");
  CHECK(List() == before);
  REQUIRE(Delete(sandbox.name()).ok());
  CHECK(Remove("images/app").ok());
  CHECK(List().empty());
}

}  // namespace
}  // namespace claw::test
