#include "tests/unit/clawctl/fake_agent.h"

namespace claw::ctl::testing {

pb::Sandbox MakeSandbox(const std::string& id, const std::string& display_name,
                        pb::SandboxState state) {
  pb::Sandbox sandbox;
  sandbox.set_name("sandboxes/" + id);
  sandbox.set_state(state);
  sandbox.mutable_spec()->set_display_name(display_name);
  sandbox.mutable_spec()->set_tenant("tenants/acme");
  sandbox.mutable_spec()->set_image("busybox:1");
  sandbox.set_isolation_class(pb::ISOLATION_CLASS_GVISOR);
  sandbox.set_driver("gvisor");
  sandbox.set_image_digest("sha256:0123456789abcdef0123");
  auto& memory = *sandbox.mutable_resources()->mutable_memory();
  memory.set_workload_bytes(int64_t{128} << 20);
  memory.set_overhead_bytes(int64_t{64} << 20);
  memory.set_cgroup_max_bytes(int64_t{192} << 20);
  sandbox.mutable_create_time()->set_seconds(1'000'000);
  if (state == pb::SANDBOX_STATE_RUNNING) sandbox.set_pid(4242);
  return sandbox;
}

pb::Reservation MakeReservation(const std::string& id, const std::string& display_name,
                                int64_t seconds) {
  pb::Reservation reservation;
  reservation.set_name("reservations/" + id);
  *reservation.mutable_sandbox() = MakeSandbox(id, display_name, pb::SANDBOX_STATE_RESERVED);
  reservation.mutable_expire_time()->set_seconds(1'000'192 + seconds);
  *reservation.mutable_sandbox()->mutable_lease_expire_time() = reservation.expire_time();
  reservation.set_target("host");
  reservation.set_held_by("unix:root(0)");
  return reservation;
}

pb::Tenant MakeTenant(const std::string& name, pb::Trust trust) {
  pb::Tenant tenant;
  tenant.set_name("tenants/" + name);
  tenant.set_trust(trust);
  tenant.mutable_create_time()->set_seconds(1'000'000);
  return tenant;
}

pb::Image MakeImage(const std::string& digest, const std::vector<std::string>& references) {
  pb::Image image;
  image.set_name("images/sha256:" + digest);
  image.mutable_references()->Assign(references.begin(), references.end());
  image.set_architecture("amd64");
  image.set_size_bytes(int64_t{4} << 20);
  image.mutable_create_time()->set_seconds(1'000'000);
  return image;
}

pb::LogChunk MakeChunk(pb::LogChunk::Stream stream, const std::string& data, int64_t seconds) {
  pb::LogChunk chunk;
  chunk.set_stream(stream);
  chunk.set_data(data);
  chunk.mutable_time()->set_seconds(seconds);
  return chunk;
}

}  // namespace claw::ctl::testing
