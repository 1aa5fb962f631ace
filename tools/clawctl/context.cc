#include "tools/clawctl/context.h"

#include <unistd.h>

#include <cerrno>

#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"

namespace claw::ctl {
namespace {

void WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace

Client& Context::client() {
  if (!client_) {
    ClientOptions client_options{.socket = options.socket};
    if (options.timeout) {
      client_options.timeout = *options.timeout;
      client_options.timeout_is_explicit = true;
    }
    client_options.notice = [this](std::string_view text) { Notice(text); };
    if (options.verbose) {
      client_options.trace = [this](std::string_view text) { Notice(text); };
    }
    client_ = std::make_unique<Client>(std::move(client_options));
  }
  return *client_;
}

bool Context::OutIsTerminal() const { return ::isatty(io_.out) == 1; }
bool Context::ErrIsTerminal() const { return ::isatty(io_.err) == 1; }
bool Context::UsesColor() const { return !options.no_color && OutIsTerminal(); }

Time ToTime(const google::protobuf::Timestamp& time) {
  return FromMicros(time.seconds() * 1'000'000 + time.nanos() / 1000);
}

std::string Context::AgeOf(bool has_time, const google::protobuf::Timestamp& time) const {
  if (!has_time) return "-";
  return FormatAge(std::chrono::seconds(ToMicros(Now()) / 1'000'000 - time.seconds()));
}

void Context::Out(std::string_view text) const { WriteAll(io_.out, text); }
void Context::Err(std::string_view text) const { WriteAll(io_.err, text); }

void Context::Notice(std::string_view text) const {
  Err(StrCat("clawctl: ", EscapeControls(text), "\n"));
}

int Context::Report(const Status& status) const {
  if (!status.ok()) Err(RenderError(status, options.socket));
  return ExitCodeOf(status);
}

void Context::PrintItem(const google::protobuf::Message& item,
                        const std::function<std::string(bool wide)>& table) const {
  switch (format()) {
    case Format::kJson:
      return Out(RenderJson(item, OutIsTerminal()));
    case Format::kYaml:
      return Out(RenderYaml(item));
    case Format::kTable:
    case Format::kWide:
      return Out(table(format() == Format::kWide));
  }
}

void Context::PrintList(const Messages& items, const Table& table) const {
  switch (format()) {
    case Format::kJson:
      return Out(RenderJsonList(items, OutIsTerminal()));
    case Format::kYaml:
      return Out(RenderYamlList(items));
    case Format::kTable:
    case Format::kWide:
      return Out(table.Render(format() == Format::kWide, UsesColor()));
  }
}

}  // namespace claw::ctl
