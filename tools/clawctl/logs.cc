#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/resolve.h"

namespace claw::ctl {
namespace {

struct LogsOptions {
  pb::StreamLogsRequest request;
  std::string name;
  std::string since;
  bool timestamps = false;
};

// Puts the time before each line of one stream. A line may come in several chunks.
class LineStamper {
 public:
  std::string Stamp(std::string_view data, const std::string& time) {
    std::string out;
    while (!data.empty()) {
      if (at_start_) out.append(time).append(" ");
      const size_t newline = data.find('\n');
      const size_t length = newline == std::string_view::npos ? data.size() : newline + 1;
      out.append(data.substr(0, length));
      at_start_ = newline != std::string_view::npos;
      data.remove_prefix(length);
    }
    return out;
  }

 private:
  bool at_start_ = true;
};

Status Logs(Context& context, LogsOptions& logs) {
  ASSIGN_OR_RETURN(const std::string name, ResolveSandbox(context.client(), logs.name));
  logs.request.set_name(name);
  LineStamper out;
  LineStamper err;
  return context.client().StreamLogs(logs.request, [&](const pb::LogChunk& chunk) {
    const bool is_error = chunk.stream() == pb::LogChunk::STDERR;
    std::string_view data = chunk.data();
    std::string stamped;
    if (logs.timestamps) {
      stamped = (is_error ? err : out).Stamp(data, FormatTime(ToTime(chunk.time())));
      data = stamped;
    }
    is_error ? context.Err(data) : context.Out(data);
  });
}

}  // namespace

void AddLogsCommand(CLI::App& parent, Context& context) {
  const auto logs = std::make_shared<LogsOptions>();
  CLI::App* command = AddCommand(parent, "logs", "Print what a sandbox's program has written",
                                 "clawctl node logs worker -f --tail 100\n"
                                 "  clawctl node logs worker --since 10m --timestamps");
  command->add_option("NAME", logs->name, "Sandbox: id, start of an id, or name")->required();
  command->add_flag_callback(
      "-f,--follow", [logs] { logs->request.set_follow(true); },
      "Go on until the program has ended");
  command
      ->add_option_function<int32_t>(
          "--tail", [logs](int32_t lines) { logs->request.set_tail_lines(lines); },
          "Only the last N lines; 0 for all")
      ->type_name("N")
      ->default_str("0")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option_function<std::string>(
          "--since",
          [logs, &context](const std::string& text) {
            const auto since = ParseSince(text, context.Now());
            ThrowIfError("--since", since.status());
            const int64_t micros = ToMicros(*since);
            auto& time = *logs->request.mutable_since_time();
            time.set_seconds(micros / 1'000'000);
            time.set_nanos(static_cast<int32_t>(micros % 1'000'000 * 1000));
          },
          "Only what came since then: a duration before now, or an RFC 3339 time")
      ->type_name("DURATION|TIME");
  command->add_flag("--timestamps", logs->timestamps, "Put the time before each line");
  SetAction(command, context, [&context, logs] { return Logs(context, *logs); });
}

}  // namespace claw::ctl
