#include "vm/domain.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "tests/support/temp_dir.h"

namespace claw::vm {
namespace {

DomainSpec MakeSpec(DomainType type = DomainType::kQemu) {
  DomainSpec spec{.owner = "clawlet-0123abcd",
                  .vm = "mac1",
                  .uuid = "3b241101-e2bb-4255-8caf-4136c566a962",
                  .type = type,
                  .emulator = "/usr/bin/qemu-system-aarch64",
                  .cpus = 2,
                  .memory_bytes = kGiB,
                  .host_port = 40123,
                  .console_log = "/var/lib/clawlet/vms/mac1/console.log"};
  spec.direct = DirectBoot{.kernel = "/g/vmlinuz",
                           .initramfs = "/g/initramfs.img",
                           .command_line = "console=ttyAMA0 a='<&>'"};
  spec.disks = {{.file = "/g/root.img", .serial = "clawroot", .read_only = true},
                {.file = "/v/it's & <state>.img", .serial = "clawstate", .read_only = false}};
  return spec;
}

DomainSpec WithEfi(DomainSpec spec) {
  spec.direct.reset();
  spec.efi = EfiBoot{.loader = "/usr/share/AAVMF/AAVMF_CODE.fd",
                     .nvram_template = "/usr/share/AAVMF/AAVMF_VARS.fd",
                     .nvram = "/var/lib/clawlet/vms/mac1/nvram.fd"};
  return spec;
}

// What libvirt's own tool says of it.
RunResult Validate(const std::string& xml) {
  const test::TempDir dir;
  const std::filesystem::path file = dir.path() / "domain.xml";
  std::ofstream(file) << xml;
  const auto result = Run({.argv = {"virt-xml-validate", file.string(), "domain"}});
  REQUIRE(result.ok());
  return *result;
}

TEST_CASE("every domain is what libvirt's schema says: all types, both ways to boot") {
  const DomainType type = GENERATE(DomainType::kHvf, DomainType::kKvm, DomainType::kQemu);
  const bool efi = GENERATE(false, true);
  const DomainSpec spec = efi ? WithEfi(MakeSpec(type)) : MakeSpec(type);
  REQUIRE(CheckDomain(spec) == absl::OkStatus());
  const std::string xml = ToXml(spec);
  INFO(xml);
  const RunResult result = Validate(xml);
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK(xml.find(StrCat("<domain type='", ToString(type), "'")) == 0);
}

TEST_CASE("the schema refuses what is none of its words") {
  std::string xml = ToXml(MakeSpec());
  const size_t at = xml.find("<vcpu");
  REQUIRE(at != std::string::npos);
  xml.insert(at, "<vcpus>2</vcpus>");
  CHECK(Validate(xml).exit_code != 0);
}

TEST_CASE("a domain has its processor, its disks by serial, and one way in") {
  const std::string qemu = ToXml(MakeSpec(DomainType::kQemu));
  CHECK(qemu.find("<model fallback='forbid'>cortex-a76</model>") != std::string::npos);
  CHECK(qemu.find("<tb-cache unit='MiB'>") != std::string::npos);
  CHECK(qemu.find("<acpi/>") == std::string::npos);
  const std::string hvf = ToXml(WithEfi(MakeSpec(DomainType::kHvf)));
  CHECK(hvf.find("mode='host-passthrough'") != std::string::npos);
  CHECK(hvf.find("tb-cache") == std::string::npos);
  CHECK(hvf.find("<acpi/>") != std::string::npos);
  CHECK(qemu.find("restrict=on,hostfwd=tcp:127.0.0.1:40123-:50051") != std::string::npos);
  CHECK(qemu.find("<source file='/v/it&apos;s &amp; &lt;state&gt;.img'/>") != std::string::npos);
  CHECK(qemu.find("<cmdline>console=ttyAMA0 a=&apos;&lt;&amp;&gt;&apos;</cmdline>") !=
        std::string::npos);
  CHECK(qemu.find("<serial>clawroot</serial>\n      <readonly/>") != std::string::npos);
  CHECK(qemu.find("<serial>clawstate</serial>\n    </disk>") != std::string::npos);
  CHECK(qemu.find("autodeflate='off' freePageReporting='on'") != std::string::npos);
}

TEST_CASE("what QEMU or libvirt would take for something else is refused") {
  const auto refused = [](const std::function<void(DomainSpec&)>& spoil, std::string_view why) {
    DomainSpec spec = MakeSpec();
    spoil(spec);
    const Status status = CheckDomain(spec);
    INFO(ToLogString(status));
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK(ToStd(status.message()).find(why) != std::string_view::npos);
  };
  refused([](DomainSpec& s) { s.vm = "a'b"; }, "a-z, 0-9");
  refused([](DomainSpec& s) { s.owner.clear(); }, "a-z, 0-9");
  refused([](DomainSpec& s) { s.uuid = "none"; }, "no UUID");
  refused([](DomainSpec& s) { s.cpus = 9; }, "1 to 8");
  refused([](DomainSpec& s) { s.cpus = -1; }, "1 to 8");
  refused([](DomainSpec& s) { s.memory_bytes = 0; }, "64 MiB");
  refused([](DomainSpec& s) { s.memory_bytes = INT64_MAX; }, "1 TiB");
  refused([](DomainSpec& s) { s.host_port = 80; }, "1024");
  refused([](DomainSpec& s) { s.host_port = 65536; }, "65535");
  refused([](DomainSpec& s) { s.direct->kernel = "vmlinuz"; }, "not an absolute path");
  refused([](DomainSpec& s) { s.direct->command_line = "a\nb"; }, "printable");
  refused([](DomainSpec& s) { s.direct.reset(); }, "one of the two");
  refused([](DomainSpec& s) { s.efi = EfiBoot{}; }, "one of the two");
  refused([](DomainSpec& s) { s.console_log = "log"; }, "not an absolute path");
  refused([](DomainSpec& s) { s.disks[0].serial = "a b"; }, "no serial");
  refused([](DomainSpec& s) { s.disks[1].file = "/a\x01"; }, "printable");
  refused([](DomainSpec& s) { s.disks.resize(17, s.disks[0]); }, "at most 16");
}

TEST_CASE("a domain's mark says whose it is, and nothing else does") {
  const DomainMark mine{.owner = "clawlet-0123abcd", .vm = "mac1"};
  CHECK(ToXml(MakeSpec())
            .find("<claw:vm xmlns:claw='urn:clawlet:vm:1' owner='clawlet-0123abcd' "
                  "name='mac1'/>") != std::string::npos);
  // As libvirt gives it out: with its own quotes and order.
  CHECK(ReadMark("<vm owner=\"clawlet-0123abcd\" name=\"mac1\"/>\n") == mine);
  CHECK(ReadMark("<vm name='mac1' owner='clawlet-0123abcd'/>") == mine);
  for (const char* other :
       {"", "<", "/>", "<vm", "<vm />", "<vm owner='a'/>", "<vm owner='a' name='b'>",
        "<vm owner='a' name='b'/><x/>", "<x/><vm owner='a' name='b'/>",
        "<vm>owner='a' name='b'</vm>", "<vm owner='../a' name='b'/>", "<vm owner='a name='b'/>",
        "<other owner='a' name='b'/>", "<vm owner='a' name=\"b'/>", "<vm owner='' name=''/>",
        "<vm xowner='a' xname='b'/>"}) {
    INFO(other);
    CHECK(ReadMark(other) == std::nullopt);
  }
}

}  // namespace
}  // namespace claw::vm
