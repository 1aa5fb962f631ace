#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

namespace claw::ctl {

enum class Format { kTable, kWide, kJson, kYaml };

// One column of a table. A wide column is shown with -o wide only.
struct Column {
  std::string title;
  bool wide = false;
  // Its cells name states and get a colour on a terminal.
  bool state = false;
};

// Rows in aligned columns. Cells are escaped here, so callers add them as they came.
class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // As many cells as there are columns; an empty one is shown as "-".
  void Add(std::vector<std::string> cells);
  [[nodiscard]] std::string Render(bool wide, bool color) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Lines of "NAME   value", for one resource.
class Fields {
 public:
  void Add(std::string name, std::string value);
  [[nodiscard]] std::string Render() const;

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

using Messages = std::vector<const google::protobuf::Message*>;

template <typename Container>
Messages ToMessages(const Container& items) {
  Messages messages;
  for (const auto& item : items) messages.push_back(&item);
  return messages;
}

// The protobuf JSON mapping with the field names of the .proto files, every scalar field present.
// `ascii` writes all else as \u escapes, so that a terminal sees no control characters. Ends in a
// newline.
std::string RenderJson(const google::protobuf::Message& message, bool ascii);
// {"items": […]}
std::string RenderJsonList(const Messages& items, bool ascii);
// One line, for streams.
std::string RenderJsonLine(const google::protobuf::Message& message, bool ascii);

// The same content as YAML.
std::string RenderYaml(const google::protobuf::Message& message);
std::string RenderYamlList(const Messages& items);
// JSON text as YAML; the JSON text itself if it cannot be parsed.
std::string YamlFromJson(std::string_view json);

}  // namespace claw::ctl
