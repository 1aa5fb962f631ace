#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/compat_image.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/node_view.h"

namespace claw::ctl {
namespace {

struct OverrideOptions {
  std::string image;
  std::string isolation;
  std::string reason;
  std::optional<std::chrono::milliseconds> ttl;
};

Table OverrideTable(const Context& context, const std::vector<pb::Override>& overrides) {
  Table table({{"DIGEST"}, {"CLASS"}, {"EXPIRES-IN"}, {"GIVEN-BY"}, {"REASON"}, {"AGE"}});
  const bool wide = context.format() == Format::kWide;
  for (const pb::Override& entry : overrides) {
    const std::string digest(BareName(entry.image()));
    table.Add({wide ? digest : ShortId(digest),
               EnumLabel(pb::IsolationClass_Name(entry.isolation_class()), "ISOLATION_CLASS_"),
               TimeLeft(context, entry.expire_time()), entry.given_by(), entry.reason(),
               context.AgeOf(entry.has_create_time(), entry.create_time())});
  }
  return table;
}

Status Add(Context& context, const OverrideOptions& options) {
  pb::CreateOverrideRequest request;
  ASSIGN_OR_RETURN(*request.mutable_image(), RequireDigest(context.client(), options.image));
  request.set_isolation_class(options.isolation == "gvisor" ? pb::ISOLATION_CLASS_GVISOR
                                                            : pb::ISOLATION_CLASS_LEGACY_HARDENED);
  request.set_reason(options.reason);
  request.mutable_ttl()->set_seconds(options.ttl->count() / 1000);
  request.mutable_ttl()->set_nanos(static_cast<int32_t>(options.ttl->count() % 1000 * 1'000'000));
  ASSIGN_OR_RETURN(const pb::Override made, context.client().CreateOverride(std::move(request)));
  context.PrintItem(made, [&](bool wide) {
    return OverrideTable(context, {made}).Render(wide, context.UsesColor());
  });
  return absl::OkStatus();
}

Status List(Context& context) {
  ASSIGN_OR_RETURN(const std::vector<pb::Override> overrides, context.client().ListOverrides());
  context.PrintList(ToMessages(overrides), OverrideTable(context, overrides));
  return absl::OkStatus();
}

Status Remove(Context& context, const std::string& typed) {
  ASSIGN_OR_RETURN(const std::string image, RequireDigest(context.client(), typed));
  RETURN_IF_ERROR(context.client().DeleteOverride(image));
  context.Out(StrCat(EscapeControls(BareName(image)), "\n"));
  return absl::OkStatus();
}

}  // namespace

void AddOverrideCommands(CLI::App& parent, Context& context) {
  const std::string digest =
      "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
  CLI::App* group = AddGroup(parent, "override", "Exceptions from the gate, for a time",
                             "clawctl node compat override ls");
  const auto options = std::make_shared<OverrideOptions>();
  CLI::App* add =
      AddCommand(*group, "add", "Treat an image in a given way whatever its verdict, for a time",
                 "clawctl node compat override add app@" + digest +
                     " \\\n      --class gvisor --reason 'hotfix 4711' --for 24h");
  add->add_option("IMAGE", options->image, "NAME@sha256:… or sha256:…")->required();
  add->add_option("--class", options->isolation,
                  "gvisor: run it under gVisor without a good verdict; legacy-hardened: take it as "
                  "incompatible, so that a hardened node takes it")
      ->type_name("gvisor|legacy-hardened")
      ->required()
      ->check(CLI::IsMember({"gvisor", "legacy-hardened"}).description(""));
  add->add_option("--reason", options->reason, "Why; kept with the override and its sandboxes")
      ->type_name("TEXT")
      ->required();
  AddDuration(*add, "--for", options->ttl, "How long it holds, from 1m on", "")->required();
  SetAction(add, context, [&context, options] { return Add(context, *options); });

  CLI::App* list =
      AddCommand(*group, "ls", "List the overrides", "clawctl node compat override ls -o json");
  SetAction(list, context, [&context] { return List(context); });

  CLI::App* remove = AddCommand(*group, "rm", "Take an override back",
                                "clawctl node compat override rm " + digest);
  remove->add_option("IMAGE", options->image, "NAME@sha256:… or sha256:…")->required();
  SetAction(remove, context, [&context, options] { return Remove(context, options->image); });
}

}  // namespace claw::ctl
