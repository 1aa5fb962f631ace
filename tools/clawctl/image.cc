#include <absl/strings/str_join.h>

#include "agent/base/bytes.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/image_source.h"
#include "tools/clawctl/progress.h"
#include "tools/clawctl/resolve.h"

namespace claw::ctl {
namespace {

struct ImageOptions {
  pb::PullImageRequest pull;
  pb::ImportImageRequest import;
  pb::CollectGarbageRequest gc;
  std::string name;
  std::vector<std::string> names;
  std::vector<std::string> platforms;
  bool quiet = false;
};

Table ImageTable(const Context& context, const std::vector<pb::Image>& images) {
  Table table({{"NAME"},
               {"DIGEST"},
               {"ARCH"},
               {"SIZE"},
               {"USED-BY"},
               {.title = "ENTRYPOINT", .wide = true},
               {.title = "COMMAND", .wide = true},
               {.title = "USER", .wide = true},
               {.title = "DROPPED-DEVICES", .wide = true},
               {.title = "CLEARED-SETUID", .wide = true},
               {.title = "SIGNERS", .wide = true},
               {"AGE"}});
  const bool wide = context.format() == Format::kWide;
  for (const pb::Image& image : images) {
    const std::string digest(BareName(image.name()));
    // A row for each name, as docker has it: what is removed is a name.
    std::vector<std::string> references(image.references().begin(), image.references().end());
    if (references.empty()) references.emplace_back();
    for (const std::string& reference : references) {
      table.Add({reference, wide ? digest : ShortId(digest), image.architecture(),
                 FormatBytes(image.size_bytes()), StrCat(image.use_count()),
                 absl::StrJoin(image.entrypoint(), " "), absl::StrJoin(image.command(), " "),
                 StrCat(image.uid(), ":", image.gid()), StrCat(image.dropped_device_nodes()),
                 StrCat(image.cleared_setuid_bits()), absl::StrJoin(image.signers(), ","),
                 context.AgeOf(image.has_create_time(), image.create_time())});
    }
  }
  return table;
}

// Digests on lines of their own, ready for --image.
void PrintArrived(const Context& context, const std::vector<pb::Image>& images) {
  const bool as_table = context.format() == Format::kTable || context.format() == Format::kWide;
  if (!as_table && images.size() > 1) {
    return context.PrintList(ToMessages(images), ImageTable(context, images));
  }
  context.PrintItem(images.front(), [&](bool) {
    std::string text;
    for (const pb::Image& image : images) {
      text += StrCat(EscapeControls(BareName(image.name())), "\n");
    }
    return text;
  });
}

Status Pull(Context& context, ImageOptions& options) {
  options.pull.mutable_platforms()->Assign(options.platforms.begin(), options.platforms.end());
  StatusOr<std::vector<pb::Image>> images;
  {
    Progress progress(context, options.quiet);
    images = context.client().PullImage(
        options.pull, [&](const pb::ImageProgress& step) { progress.Show(StepOf(step)); });
  }
  RETURN_IF_ERROR(images.status());
  PrintArrived(context, *images);
  return absl::OkStatus();
}

Status Import(Context& context, ImageOptions& options) {
  ASSIGN_OR_RETURN(*options.import.mutable_source(), CompleteImageSource(options.import.source()));
  options.import.mutable_platforms()->Assign(options.platforms.begin(), options.platforms.end());
  StatusOr<std::vector<pb::Image>> images;
  {
    Progress progress(context, options.quiet);
    images = context.client().ImportImage(
        options.import, [&](const pb::ImageProgress& step) { progress.Show(StepOf(step)); });
  }
  RETURN_IF_ERROR(images.status());
  PrintArrived(context, *images);
  return absl::OkStatus();
}

Status List(Context& context) {
  ASSIGN_OR_RETURN(const std::vector<pb::Image> images, context.client().ListImages());
  context.PrintList(ToMessages(images), ImageTable(context, images));
  return absl::OkStatus();
}

Status Inspect(Context& context, const std::string& typed) {
  ASSIGN_OR_RETURN(const std::string name, ResolveImage(context.client(), typed));
  ASSIGN_OR_RETURN(const pb::Image image, context.client().GetImage(name));
  if (!context.options.format) context.options.format = Format::kYaml;
  context.PrintItem(image, [&](bool wide) {
    return ImageTable(context, {image}).Render(wide, context.UsesColor());
  });
  return absl::OkStatus();
}

int Remove(Context& context, const std::vector<std::string>& names) {
  int code = kExitOk;
  for (const std::string& typed : names) {
    const auto name = ResolveImage(context.client(), typed);
    pb::DeleteImageRequest request;
    if (name.ok()) request.set_name(*name);
    const Status status =
        name.ok() ? context.client().DeleteImage(std::move(request)) : name.status();
    if (status.ok()) context.Out(StrCat(EscapeControls(BareName(*name)), "\n"));
    const int result = context.Report(status);
    if (code == kExitOk) code = result;
  }
  return code;
}

Status CollectGarbage(Context& context, const ImageOptions& options) {
  ASSIGN_OR_RETURN(const pb::CollectGarbageResponse response,
                   context.client().CollectGarbage(options.gc));
  context.PrintItem(response, [&](bool) {
    std::string text;
    for (const std::string& name : response.removed()) {
      text += StrCat(EscapeControls(BareName(name)), "\n");
    }
    const std::string_view verb = options.gc.validate_only() ? "would free " : "freed ";
    return StrCat(text, verb, FormatBytes(response.freed_bytes()), "\n");
  });
  return absl::OkStatus();
}

constexpr char kSignerHelp[] =
    "Signer of the node's config: take the image only if it carries that signature";

constexpr char kPlatformHelp[] =
    "linux/amd64 or linux/arm64, once for each that is wanted; without it those that the node can "
    "run, as far as there are images for them";

void AddTransferCommands(CLI::App& group, Context& context,
                         const std::shared_ptr<ImageOptions>& options) {
  CLI::App* pull = AddCommand(
      group, "pull",
      "Fetch an image from a registry, print its digest (one a line for several platforms)",
      "clawctl node image pull registry.example.com/team/app:1.2\n"
      "  clawctl node image pull registry.example.com/team/app:1.2 --signer release\n"
      "  clawctl node image pull python:3 --platform linux/amd64 --platform linux/arm64");
  pull->add_option("REF", *options->pull.mutable_reference(), "HOST/NAME:TAG or HOST/NAME@sha256:…")
      ->required();
  pull->add_flag_callback(
      "--insecure", [options] { options->pull.set_insecure(true); },
      "Plain HTTP, any certificate; only for registries on this machine");
  pull->add_option("--signer", *options->pull.mutable_signer(), kSignerHelp)->type_name("NAME");
  AddRepeated(*pull, "--platform", options->platforms, kPlatformHelp)->type_name("PLATFORM");
  pull->add_flag("-q,--quiet", options->quiet, "Do not show progress");
  SetAction(pull, context, [&context, options] { return Pull(context, *options); });

  CLI::App* import =
      AddCommand(group, "import", "Take an image from a file or folder, print its digest",
                 "clawctl node image import ./busybox-oci --name busybox:1\n"
                 "  clawctl node image import docker-archive:/srv/app.tar:app:2 --name app:2\n"
                 "  clawctl node image import rootfs:/srv/rootfs --name base:1\n"
                 "  clawctl node image import ./app-oci --name app:2 --platform linux/arm64");
  import
      ->add_option("SOURCE", *options->import.mutable_source(),
                   "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF], dir:DIR or "
                   "rootfs:DIR; "
                   "a path alone is guessed: a folder with oci-layout is oci:, another folder is "
                   "rootfs:, a file is docker-archive:")
      ->required();
  import
      ->add_option("--name", *options->import.mutable_reference(),
                   "Name to give it; without one it has only its digest")
      ->type_name("REF");
  import->add_option("--signer", *options->import.mutable_signer(), kSignerHelp)->type_name("NAME");
  AddRepeated(*import, "--platform", options->platforms, kPlatformHelp)->type_name("PLATFORM");
  import->add_flag("-q,--quiet", options->quiet, "Do not show progress");
  SetAction(import, context, [&context, options] { return Import(context, *options); });
}

}  // namespace

void AddImageCommands(CLI::App& parent, Context& context) {
  CLI::App* group = AddGroup(parent, "image", "Manage the images of this node",
                             "clawctl node image pull registry.example.com/team/app:1.2");
  const auto options = std::make_shared<ImageOptions>();
  AddTransferCommands(*group, context, options);

  CLI::App* list = AddCommand(*group, "ls", "List images", "clawctl node image ls -o wide");
  SetAction(list, context, [&context] { return List(context); });

  CLI::App* inspect =
      AddCommand(*group, "inspect", "Show everything about an image (yaml unless -o)",
                 "clawctl node image inspect busybox:1");
  inspect->add_option("NAME", options->name, "Image: name, digest, or start of a digest")
      ->required();
  SetAction(inspect, context, [&context, options] { return Inspect(context, options->name); });

  CLI::App* remove = AddCommand(*group, "rm", "Take a name away, and the image with its last name",
                                "clawctl node image rm busybox:1");
  remove->add_option("NAME", options->names, "Images: name, digest, or start of a digest")
      ->required();
  SetCodeAction(remove, context, [&context, options] { return Remove(context, options->names); });

  CLI::App* gc = AddCommand(*group, "gc", "Remove images without a name that no sandbox uses",
                            "clawctl node image gc --all --dry-run");
  gc->add_flag_callback(
      "--all", [options] { options->gc.set_all(true); }, "Also unused images that have a name");
  gc->add_flag_callback(
      "--dry-run", [options] { options->gc.set_validate_only(true); },
      "Only say what would be removed");
  SetAction(gc, context, [&context, options] { return CollectGarbage(context, *options); });
}

}  // namespace claw::ctl
