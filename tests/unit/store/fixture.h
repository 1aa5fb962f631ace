#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/status.h"
#include "store/store.h"

namespace claw::store::testing {

// A folder that is removed at the end of the test, and the path of a database in it.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path database() const { return path_ / "clawlet.db"; }

 private:
  std::filesystem::path path_;
};

// Opens the store; throws (and so fails the test) if it cannot be opened.
std::unique_ptr<Store> MustOpen(const std::filesystem::path& path);

// Writes and waits for the answer.
Status WriteAndWait(Store& store, std::function<Status(Transaction&)> body);

// Records with every field set to something that is not its default.
Tenant MakeTenant(const std::string& name);
Sandbox MakeSandbox(const std::string& id);
Image MakeImage(const std::string& digest);
CompatVerdict MakeVerdict(const std::string& digest);
CompatOverride MakeOverride(const std::string& digest);
NamedNetworkPolicy MakeNetworkPolicy(const std::string& name);
Vm MakeVm(const std::string& name);
OverheadRecord MakeOverhead(const std::string& digest);
RequestRecord MakeRequest(const std::string& id);
Event MakeEvent(int64_t revision, const std::string& subject = "sandboxes/0123456789abcdef");

// Runs SQL on a database that no store has open.
void RunSql(const std::filesystem::path& path, const std::string& sql);
// The rows as the sqlite3 shell prints them.
std::string QuerySql(const std::filesystem::path& path, const std::string& sql);

// Replaces every occurrence in the file by something of the same length; returns how many.
int ReplaceInFile(const std::filesystem::path& path, std::string_view from, std::string_view to);

std::string ReasonOf(const Status& status);

}  // namespace claw::store::testing
