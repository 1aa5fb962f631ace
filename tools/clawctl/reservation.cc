#include <google/protobuf/util/time_util.h>

#include <optional>

#include "agent/base/bytes.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/node_view.h"
#include "tools/clawctl/progress.h"
#include "tools/clawctl/resolve.h"
#include "tools/clawctl/sandbox_options.h"
#include "tools/clawctl/sandbox_view.h"

namespace claw::ctl {
namespace {

using google::protobuf::util::TimeUtil;

struct ReserveOptions {
  std::shared_ptr<SandboxOptions> sandbox = std::make_shared<SandboxOptions>();
  std::optional<std::chrono::milliseconds> ttl;
  bool quiet = false;
};

struct NameOptions {
  std::string name;
  bool allow_missing = false;
};

std::string ExpiryText(const Context& context, const pb::Reservation& reservation) {
  if (!reservation.has_expire_time()) return "never: it has been committed";
  return StrCat("in ", TimeLeft(context, reservation.expire_time()), ", at ",
                FormatTime(ToTime(reservation.expire_time())));
}

std::string Describe(const Context& context, const pb::Reservation& reservation) {
  const pb::Sandbox& sandbox = reservation.sandbox();
  const pb::Memory& memory = sandbox.resources().memory();
  Fields fields;
  fields.Add("ID", std::string(BareName(reservation.name())));
  fields.Add("Expires", ExpiryText(context, reservation));
  fields.Add("Target", reservation.target());
  fields.Add("Class", ClassLabel(sandbox));
  fields.Add("Because", sandbox.isolation_reason());
  fields.Add("Driver", sandbox.driver());
  fields.Add("Charge", StrCat(FormatBytes(ChargedBytes(memory)), ", of it ",
                              FormatBytes(memory.overhead_bytes()), " for the runtime"));
  fields.Add("Held by", reservation.held_by());
  return fields.Render();
}

Table ReservationTable(const Context& context, const std::vector<pb::Reservation>& reservations) {
  Table table({{"ID"},
               {"NAME"},
               {"TENANT"},
               {"IMAGE"},
               {"TARGET"},
               {"CLASS"},
               {"CHARGE"},
               {"EXPIRES-IN"},
               {.title = "EXPIRES", .wide = true},
               {.title = "DRIVER", .wide = true},
               {.title = "OVERHEAD", .wide = true},
               {.title = "HELD-BY", .wide = true},
               {"AGE"}});
  for (const pb::Reservation& one : reservations) {
    const pb::Sandbox& sandbox = one.sandbox();
    const pb::Memory& memory = sandbox.resources().memory();
    const bool held = one.has_expire_time();
    table.Add({ShortId(BareName(one.name())), sandbox.spec().display_name(),
               std::string(BareName(sandbox.spec().tenant())), sandbox.spec().image(), one.target(),
               ClassLabel(sandbox), FormatBytes(ChargedBytes(memory)),
               held ? TimeLeft(context, one.expire_time()) : "-",
               held ? FormatTime(ToTime(one.expire_time())) : "-", sandbox.driver(),
               FormatBytes(memory.overhead_bytes()), one.held_by(),
               context.AgeOf(sandbox.has_create_time(), sandbox.create_time())});
  }
  return table;
}

Status Reserve(Context& context, const ReserveOptions& options) {
  pb::ReserveRequest request;
  ASSIGN_OR_RETURN(*request.mutable_spec(), BuildSpec(context, *options.sandbox));
  if (options.ttl) {
    *request.mutable_ttl() = TimeUtil::MillisecondsToDuration(options.ttl->count());
  }
  std::optional<VmProgress> progress(std::in_place, context, options.quiet);
  const auto reserved = context.client().Reserve(std::move(request));
  progress.reset();
  ASSIGN_OR_RETURN(const pb::Reservation made, reserved);
  context.PrintItem(made, [&](bool) {
    return options.quiet ? StrCat(EscapeControls(BareName(made.name())), "\n")
                         : Describe(context, made);
  });
  return absl::OkStatus();
}

// Like `run -d`: the id of what runs.
Status Commit(Context& context, const std::string& typed) {
  pb::CommitRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), ResolveReservation(context.client(), typed));
  ASSIGN_OR_RETURN(const pb::Sandbox sandbox, context.client().Commit(std::move(request)));
  context.PrintItem(sandbox,
                    [&](bool) { return StrCat(EscapeControls(BareName(sandbox.name())), "\n"); });
  return absl::OkStatus();
}

Status Release(Context& context, const NameOptions& options) {
  const auto name = ResolveReservation(context.client(), options.name);
  Status status = name.status();
  if (name.ok()) {
    pb::ReleaseRequest request;
    request.set_name(*name);
    request.set_allow_missing(options.allow_missing);
    status = context.client().Release(std::move(request));
  }
  // What no id starts with is as much gone as what the agent does not know.
  if (options.allow_missing && status.code() == StatusCode::kNotFound) return absl::OkStatus();
  RETURN_IF_ERROR(status);
  context.Out(StrCat(EscapeControls(BareName(*name)), "\n"));
  return absl::OkStatus();
}

Status List(Context& context) {
  ASSIGN_OR_RETURN(const std::vector<pb::Reservation> reservations,
                   context.client().ListReservations());
  context.PrintList(ToMessages(reservations), ReservationTable(context, reservations));
  return absl::OkStatus();
}

void AddReserveCommand(CLI::App& parent, Context& context) {
  const auto options = std::make_shared<ReserveOptions>();
  CLI::App* command =
      AddCommand(parent, "reserve", "Hold a place for a sandbox, charged as if it ran",
                 "clawctl node reserve --image agent:2 --tenant acme --memory 512Mi --ttl 5m\n"
                 "  id=$(clawctl node reserve -q --image busybox:1 --tenant acme -- echo hello)\n"
                 "  clawctl node commit \"$id\"\n"
                 "It takes the options of `run`.");
  AddSandboxOptions(*command, context, options->sandbox);
  AddDuration(*command, "--ttl", options->ttl, "How long the place is held, 1s to 1h", "60s");
  command->add_flag("-q,--quiet", options->quiet, "Print the id only");
  SetAction(command, context, [&context, options] { return Reserve(context, *options); });
}

}  // namespace

void AddReservationCommands(CLI::App& parent, Context& context) {
  constexpr char kNameHelp[] = "Reservation: id, start of an id, or name of its sandbox";
  AddReserveCommand(parent, context);

  const auto committed = std::make_shared<std::string>();
  CLI::App* commit =
      AddCommand(parent, "commit", "Start what a place was reserved for, print the sandbox's id",
                 "clawctl node commit 0a1b2c3d4e5f6071\n"
                 "A refusal leaves the reservation as it is.");
  commit->add_option("RESERVATION", *committed, kNameHelp)->required();
  SetAction(commit, context, [&context, committed] { return Commit(context, *committed); });

  const auto released = std::make_shared<NameOptions>();
  CLI::App* release = AddCommand(parent, "release", "Give a reserved place back",
                                 "clawctl node release 0a1b2c3d4e5f6071 --allow-missing");
  release->add_option("RESERVATION", released->name, kNameHelp)->required();
  release->add_flag("--allow-missing", released->allow_missing,
                    "Succeed when there is no such reservation (any more)");
  SetAction(release, context, [&context, released] { return Release(context, *released); });

  CLI::App* list = AddCommand(parent, "reservations", "List the places that are held",
                              "clawctl node reservations -o wide");
  SetAction(list, context, [&context] { return List(context); });
}

}  // namespace claw::ctl
