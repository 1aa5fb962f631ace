#include <map>
#include <thread>

#include "tests/unit/rpc/service_fixture.h"

namespace claw::test {
namespace {

using drivers::FakeProcess;

// Says what it reads, and ends with 5 at the end of its input.
Status Echo(const std::shared_ptr<FakeProcess>& process) {
  process->OnInput([weak = std::weak_ptr(process)](std::string_view data) {
    const auto self = weak.lock();
    if (!self) return;
    if (data.empty()) {
      self->WriteError("bye\n");
      self->Exit(5);
    } else {
      self->Write(data);
    }
  });
  return absl::OkStatus();
}

struct Transcript {
  std::string out;
  std::string err;
  std::optional<int> exit_code;
};

template <typename Stream>
Transcript ReadAll(Stream& stream) {
  Transcript transcript;
  for (pb::AttachResponse response; stream.Read(&response);) {
    if (response.has_output()) {
      const bool is_err = response.output().stream() == pb::LogChunk::STDERR;
      (is_err ? transcript.err : transcript.out) += response.output().data();
    }
    if (response.has_exit()) transcript.exit_code = response.exit().exit_code();
  }
  return transcript;
}

std::string ReadLog(pb::SandboxService::Stub& stub, const pb::StreamLogsRequest& request) {
  Call call;
  const auto stream = stub.StreamLogs(&call, request);
  std::string all;
  for (pb::LogChunk chunk; stream->Read(&chunk);) all += chunk.data();
  const grpc::Status status = stream->Finish();
  INFO(status.error_message());
  CHECK(status.ok());
  return all;
}

TEST_CASE_METHOD(ServiceFixture, "logs: so far, the last lines, and to the end") {
  Prepare();
  std::shared_ptr<FakeProcess> program;
  world().SetProgram([&](const std::shared_ptr<FakeProcess>& process) {
    program = process;
    process->Write("one\ntwo\n");
    process->WriteError("three\n");
    return absl::OkStatus();
  });
  const pb::Sandbox sandbox = Create(Request());
  pb::StreamLogsRequest request;
  request.set_name(sandbox.name());
  CHECK(ReadLog(*sandboxes, request) == "one\ntwo\nthree\n");
  request.set_tail_lines(1);
  CHECK(ReadLog(*sandboxes, request) == "three\n");
  request.set_tail_lines(0);
  request.mutable_since_time()->set_seconds(253'000'000'000);
  CHECK(ReadLog(*sandboxes, request).empty());
  request.clear_since_time();

  request.set_follow(true);
  Call call;
  const auto stream = sandboxes->StreamLogs(&call, request);
  pb::LogChunk chunk;
  std::string all;
  while (all.size() < 14 && stream->Read(&chunk)) all += chunk.data();
  program->Write("four\n");
  REQUIRE(stream->Read(&chunk));
  CHECK(chunk.data() == "four\n");
  program->Write("last words\n");
  program->Exit(0);
  REQUIRE(stream->Read(&chunk));
  CHECK(chunk.data() == "last words\n");
  CHECK(!stream->Read(&chunk));
  CHECK(stream->Finish().ok());
  CHECK(ReadLog(*sandboxes, request) == "one\ntwo\nthree\nfour\nlast words\n");
}

TEST_CASE_METHOD(ServiceFixture, "logs: who follows may leave") {
  Prepare();
  const pb::Sandbox sandbox = Create(Request());
  pb::StreamLogsRequest request;
  request.set_name(sandbox.name());
  request.set_follow(true);
  Call call;
  const auto stream = sandboxes->StreamLogs(&call, request);
  call.Cancel();
  pb::LogChunk chunk;
  CHECK(!stream->Read(&chunk));
  CHECK(stream->Finish().error_code() == grpc::CANCELLED);
  request.set_tail_lines(-1);
  Call bad;
  const auto refused = sandboxes->StreamLogs(&bad, request);
  CHECK(refused->Finish().error_code() == grpc::INVALID_ARGUMENT);
}

TEST_CASE_METHOD(ServiceFixture, "attach: input goes in, output and the exit code come out") {
  Prepare();
  world().SetProgram(Echo);
  pb::CreateSandboxRequest create = Request();
  create.mutable_spec()->set_stdin_open(true);
  create.mutable_spec()->set_tty(true);
  const pb::Sandbox sandbox = Create(create);
  Call call;
  const auto stream = sandboxes->AttachSandbox(&call);
  pb::AttachRequest request;
  request.set_name(sandbox.name());
  REQUIRE(stream->Write(request));
  request.Clear();
  request.mutable_resize()->set_rows(30);
  request.mutable_resize()->set_columns(90);
  REQUIRE(stream->Write(request));
  request.Clear();
  request.set_stdin_data("hello\n");
  REQUIRE(stream->Write(request));
  pb::AttachResponse response;
  REQUIRE(stream->Read(&response));
  CHECK(response.output().data() == "hello\n");
  CHECK(*world().terminal_size(IdOf(sandbox)) == std::pair(30, 90));
  request.Clear();
  request.set_close_stdin(true);
  REQUIRE(stream->Write(request));
  const Transcript rest = ReadAll(*stream);
  CHECK(rest.exit_code == 5);
  CHECK(stream->Finish().ok());
}

TEST_CASE_METHOD(ServiceFixture, "attach: mistakes") {
  Prepare();
  const pb::Sandbox sandbox = Create(Request());
  const auto finish = [&](std::vector<pb::AttachRequest> requests) {
    Call call;
    const auto stream = sandboxes->AttachSandbox(&call);
    for (const auto& request : requests) stream->Write(request);
    stream->WritesDone();
    ReadAll(*stream);
    return stream->Finish().error_code();
  };
  pb::AttachRequest first;
  CHECK(finish({}) == grpc::INVALID_ARGUMENT);
  CHECK(finish({first}) == grpc::INVALID_ARGUMENT);
  first.set_name("sandboxes/nobody");
  CHECK(finish({first}) == grpc::NOT_FOUND);
  first.set_name(sandbox.name());
  pb::AttachRequest next;
  next.set_stdin_data("x");
  CHECK(finish({first, next}) == grpc::FAILED_PRECONDITION);
  next.set_stdin_data(std::string((1 << 20) + 1, 'x'));
  CHECK(finish({first, next}) == grpc::INVALID_ARGUMENT);
  next.clear_stdin_data();
  next.mutable_resize();
  CHECK(finish({first, next}) == grpc::INVALID_ARGUMENT);
}

TEST_CASE_METHOD(ServiceFixture, "exec: runs, is fed, and ends") {
  Prepare();
  const pb::Sandbox sandbox = Create(Request());
  world().SetProgram(Echo);
  Call call;
  const auto stream = sandboxes->ExecSandbox(&call);
  pb::ExecRequest request;
  request.mutable_spec()->set_name(sandbox.name());
  request.mutable_spec()->add_command("cat");
  request.mutable_spec()->set_stdin_open(true);
  REQUIRE(stream->Write(request));
  const std::string piece(100'000, 'y');
  std::thread feeder([&] {
    for (int i = 0; i < 20; ++i) {
      pb::ExecRequest data;
      data.set_stdin_data(piece);
      stream->Write(data);
    }
    stream->WritesDone();  // says the end of the input as well as close_stdin does
  });
  const Transcript transcript = ReadAll(*stream);
  feeder.join();
  CHECK(stream->Finish().ok());
  CHECK(transcript.out.size() == 20 * piece.size());
  CHECK(transcript.err == "bye\n");
  CHECK(transcript.exit_code == 5);
}

TEST_CASE_METHOD(ServiceFixture, "exec: a terminal has one output") {
  Prepare();
  const pb::Sandbox sandbox = Create(Request());
  world().SetProgram([](const std::shared_ptr<FakeProcess>& process) {
    process->Write("a");
    process->WriteError("b");
    process->Exit(0);
    return absl::OkStatus();
  });
  Call call;
  const auto stream = sandboxes->ExecSandbox(&call);
  pb::ExecRequest request;
  request.mutable_spec()->set_name(sandbox.name());
  request.mutable_spec()->add_command("x");
  request.mutable_spec()->set_tty(true);
  REQUIRE(stream->Write(request));
  const Transcript transcript = ReadAll(*stream);
  CHECK(transcript.out == "ab");
  CHECK(transcript.exit_code == 0);
  CHECK(stream->Finish().ok());
}

TEST_CASE_METHOD(ServiceFixture, "exec: the program ends with its caller") {
  Prepare();
  const pb::Sandbox sandbox = Create(Request());
  std::promise<std::shared_ptr<FakeProcess>> started;
  world().SetProgram([&](const std::shared_ptr<FakeProcess>& process) {
    process->Write("up");
    started.set_value(process);
    return absl::OkStatus();
  });
  Call call;
  const auto stream = sandboxes->ExecSandbox(&call);
  pb::ExecRequest request;
  request.mutable_spec()->set_name(sandbox.name());
  request.mutable_spec()->add_command("sleep");
  REQUIRE(stream->Write(request));
  pb::AttachResponse response;
  REQUIRE(stream->Read(&response));
  const auto process = started.get_future().get();
  CHECK(!process->ended());
  call.Cancel();
  CHECK(stream->Finish().error_code() == grpc::CANCELLED);
  Shutdown();  // waits for the call's end on the server
  CHECK(process->ended());
}

std::vector<pb::SandboxChange> UntilSynced(grpc::ClientReader<pb::SandboxChange>& stream) {
  std::vector<pb::SandboxChange> changes;
  for (pb::SandboxChange change; stream.Read(&change);) {
    changes.push_back(change);
    if (change.synced()) break;
  }
  return changes;
}

TEST_CASE_METHOD(ServiceFixture, "watch sandboxes: what is, what changes, what goes") {
  Prepare();
  const pb::Sandbox old = Create(Request("old"));
  Call call;
  const auto stream = sandboxes->WatchSandboxes(&call, {});
  const auto present = UntilSynced(*stream);
  REQUIRE(present.size() == 2);
  CHECK(present[0].sandbox().name() == old.name());
  CHECK(present[0].revision() == 0);
  const int64_t synced = present[1].revision();
  CHECK(synced >= old.revision());

  const pb::Sandbox made = Create(Request("made"));
  REQUIRE(Delete(old.name()).ok());
  std::map<std::string, pb::SandboxChange> last;
  int64_t before = synced;
  while (!last[old.name()].deleted()) {
    pb::SandboxChange change;
    REQUIRE(stream->Read(&change));
    CHECK(change.revision() > before);
    before = change.revision();
    last[change.sandbox().name()] = change;
  }
  CHECK(last[made.name()].sandbox().state() == pb::SANDBOX_STATE_RUNNING);
  call.Cancel();
  CHECK(stream->Finish().error_code() == grpc::CANCELLED);

  // Who goes on from where they were gets each change once.
  pb::WatchSandboxesRequest resume;
  resume.set_resume_revision(synced);
  Call again;
  const auto resumed = sandboxes->WatchSandboxes(&again, resume);
  const auto changed = UntilSynced(*resumed);
  REQUIRE(changed.size() == 3);
  CHECK(changed[0].sandbox().name() == made.name());
  CHECK(changed[1].deleted());
  CHECK(changed[2].revision() >= changed[1].revision());
  again.Cancel();
}

lifecycle::Task<int64_t> RevisionOf(lifecycle::Node& node) { co_return node.revision(); }

TEST_CASE_METHOD(ServiceFixture, "the node's revision names no change that is not durable yet") {
  const int64_t before = Run(RevisionOf(node()));
  std::promise<void> disk;
  std::promise<Status> wrote;
  store().Write(
      [&](store::Transaction&) {
        disk.get_future().wait();
        return absl::OkStatus();
      },
      [&](Status status) { wrote.set_value(std::move(status)); });
  // The event is made and waits behind the slow write; the strand is asked after that.
  auto made = Begin(node().CreateTenant({}, {.name = "acme", .trust = Trust::kTrusted}));
  const int64_t meanwhile = Run(RevisionOf(node()));
  disk.set_value();
  CHECK(wrote.get_future().get().ok());
  CHECK(made.get().ok());
  CHECK(meanwhile == before);
  CHECK(Run(RevisionOf(node())) == before + 1);
}

TEST_CASE_METHOD(ServiceFixture, "watch sandboxes: a tenant's own, and revisions from nowhere") {
  Prepare();
  Create(Request());
  pb::WatchSandboxesRequest request;
  request.set_tenant("tenants/other");
  Call call;
  const auto stream = sandboxes->WatchSandboxes(&call, request);
  CHECK(UntilSynced(*stream).size() == 1);
  call.Cancel();
  request.set_resume_revision(1'000'000);
  Call future;
  CHECK(sandboxes->WatchSandboxes(&future, request)->Finish().error_code() == grpc::OUT_OF_RANGE);
  request.set_resume_revision(-1);
  Call negative;
  CHECK(sandboxes->WatchSandboxes(&negative, request)->Finish().error_code() ==
        grpc::INVALID_ARGUMENT);
}

TEST_CASE_METHOD(ServiceFixture, "watch events: no gap and no repetition while events come") {
  pb::CreateTenantRequest request;
  const auto make = [&](int number) {
    request.set_tenant_id("t" + std::to_string(number));
    pb::Tenant tenant;
    Call call;
    (void)tenants->CreateTenant(&call, request, &tenant);
  };
  for (int i = 0; i < 20; ++i) make(i);
  std::thread maker([&] {
    for (int i = 20; i < 120; ++i) make(i);
  });
  Call call;
  const auto stream = events->WatchEvents(&call, {});
  std::vector<int64_t> revisions;
  int made = 0;
  for (pb::Event event; made < 120 && stream->Read(&event);) {
    if (event.type() == "tenant.created") {
      CHECK(event.subject() == "tenants/t" + std::to_string(made));
      ++made;
    }
    if (!revisions.empty()) CHECK(event.revision() > revisions.back());
    revisions.push_back(event.revision());
  }
  maker.join();
  CHECK(made == 120);
  call.Cancel();

  pb::ListEventsRequest list;
  list.set_page_size(50);
  std::vector<int64_t> listed;
  do {
    pb::ListEventsResponse response;
    Call page;
    REQUIRE(events->ListEvents(&page, list, &response).ok());
    for (const pb::Event& event : response.events()) listed.push_back(event.revision());
    list.set_page_token(response.next_page_token());
  } while (!list.page_token().empty());
  CHECK(listed == revisions);
}

TEST_CASE_METHOD(ServiceFixture, "watch events: only new ones, only of one subject") {
  Prepare();
  pb::WatchEventsRequest request;
  request.set_resume_revision(-1);
  request.set_subject("tenants/new");
  Call call;
  const auto stream = events->WatchEvents(&call, request);
  std::thread maker([&] {
    // Until the watch has begun, which nothing tells.
    for (int i = 0; i < 200; ++i) {
      pb::CreateTenantRequest create;
      create.set_tenant_id("new");
      pb::Tenant tenant;
      Call make;
      (void)tenants->CreateTenant(&make, create, &tenant);
      pb::DeleteTenantRequest remove;
      remove.set_name("tenants/new");
      google::protobuf::Empty empty;
      Call unmake;
      (void)tenants->DeleteTenant(&unmake, remove, &empty);
    }
  });
  pb::Event event;
  REQUIRE(stream->Read(&event));
  CHECK(event.subject() == "tenants/new");
  call.Cancel();
  maker.join();
  request.set_resume_revision(INT64_MAX);
  Call future;
  CHECK(events->WatchEvents(&future, request)->Finish().error_code() == grpc::OUT_OF_RANGE);
}

TEST_CASE_METHOD(ServiceFixture, "watches end when the node drains") {
  Call call;
  const auto stream = sandboxes->WatchSandboxes(&call, {});
  CHECK(UntilSynced(*stream).size() == 1);
  Run(node().Drain());
  pb::SandboxChange change;
  CHECK(!stream->Read(&change));
  CHECK(stream->Finish().error_code() == grpc::UNAVAILABLE);
}

}  // namespace
}  // namespace claw::test
