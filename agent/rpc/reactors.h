#pragma once

// How coroutines on the strand serve gRPC's callback API. A reactor owns itself: it holds a
// reference to itself until OnDone, and everything on its way to the strand holds one more, so it
// goes when both gRPC and the strand have let go of it.

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "agent/rpc/call_task.h"
#include "agent/rpc/caller.h"
#include "agent/rpc/context.h"
#include "agent/rpc/gates.h"
#include "agent/rpc/status.h"
#include "agent/rpc/streams.h"

namespace claw::rpc {

template <typename Response>
class UnaryReactor final : public grpc::ServerUnaryReactor {
 public:
  UnaryReactor(const Context& context, WhenCallerLeaves when, Response* response)
      : context_(context),
        response_(response),
        task_(std::make_shared<CallTask>(context.strand, when)) {}

  void Start(const std::shared_ptr<UnaryReactor>& self,
             std::function<Task<StatusOr<Response>>()> body) {
    self_ = self;
    task_->Start([self, body = std::move(body)] { return self->Answer(body); },
                 [self](const Status& status) { self->Finish(Report(self->context_, status)); });
  }

  void OnCancel() override { task_->Cancel(); }
  void OnDone() override { self_.reset(); }

 private:
  Task<Status> Answer(std::function<Task<StatusOr<Response>>()> body) {
    StatusOr<Response> answer = co_await body();
    if (answer.ok()) *response_ = *std::move(answer);
    co_return answer.status();
  }

  const Context& context_;
  Response* const response_;
  const std::shared_ptr<CallTask> task_;
  std::shared_ptr<UnaryReactor> self_;
};

// `body` is a coroutine (const Context&, const Request&) -> StatusOr<Response>; the request lives
// until it has ended.
template <typename Request, typename Response>
grpc::ServerUnaryReactor* Unary(const Context& context, WhenCallerLeaves when,
                                const Request* request, Response* response,
                                Task<StatusOr<Response>> (*body)(const Context&, const Request&)) {
  auto reactor = std::make_shared<UnaryReactor<Response>>(context, when, response);
  reactor->Start(reactor, [&context, request, body] { return body(context, *request); });
  return reactor.get();  // gRPC calls OnDone, which lets go of it, only after it got it
}

// The same for changes: `body` is told who asks, as well.
template <typename Request, typename Response>
grpc::ServerUnaryReactor* Change(const Context& context, const grpc::CallbackServerContext& call,
                                 const Request* request, Response* response,
                                 Task<StatusOr<Response>> (*body)(const Context&, const Request&,
                                                                  const std::string& actor)) {
  auto reactor =
      std::make_shared<UnaryReactor<Response>>(context, WhenCallerLeaves::kFinish, response);
  reactor->Start(reactor, [&context, request, body, actor = CallerIdentity(call)] {
    return body(context, *request, actor);
  });
  return reactor.get();
}

// What server streams and two-way streams have in common: writing, ending, being cancelled.
template <typename Reactor, typename Response>
class WritingReactor : public Reactor, public Sink<Response> {
 public:
  WritingReactor(const Context& context, WhenCallerLeaves when)
      : context_(context),
        gate_(context.strand),
        task_(std::make_shared<CallTask>(context.strand, when)) {}

  void Start(const std::shared_ptr<WritingReactor>& self, std::function<Task<Status>()> body) {
    self_ = self;
    task_->Start([self, body = std::move(body)] { return self->RunBody(body); },
                 [self](const Status& status) { self->Finish(Report(self->context_, status)); });
  }

  void OnWriteDone(bool ok) override {
    asio::post(context_.strand, [self = self_, ok] { self->gate_.Written(ok); });
  }
  void OnCancel() override {
    task_->Cancel([self = self_] { self->OnCallerGone(); });
  }
  void OnDone() override { self_.reset(); }

 protected:
  virtual void OnCallerGone() { gate_.Break(); }
  const std::shared_ptr<WritingReactor>& self() const { return self_; }

  const Context& context_;

 private:
  WriteGate& gate() override { return gate_; }
  void Send(Response message) override {
    outgoing_ = std::move(message);
    this->StartWrite(&outgoing_);
  }

  // gRPC wants the last write out before the end.
  Task<Status> RunBody(std::function<Task<Status>()> body) {
    Status status = co_await body();
    co_await gate_.Settle();
    co_return status;
  }

  WriteGate gate_;
  Response outgoing_;
  const std::shared_ptr<CallTask> task_;
  std::shared_ptr<WritingReactor> self_;
};

template <typename Response>
using ServerStreamReactor = WritingReactor<grpc::ServerWriteReactor<Response>, Response>;

// `body` is a coroutine (const Context&, const Request&, Sink<Response>&) -> Status.
template <typename Request, typename Response>
grpc::ServerWriteReactor<Response>* ServerStream(
    const Context& context, WhenCallerLeaves when, const Request* request,
    Task<Status> (*body)(const Context&, const Request&, Sink<Response>&)) {
  auto reactor = std::make_shared<ServerStreamReactor<Response>>(context, when);
  reactor->Start(reactor, [&context, request, body, sink = reactor.get()] {
    return body(context, *request, *sink);
  });
  return reactor.get();
}

// The same for changes: `body` is told who asks, as well.
template <typename Request, typename Response>
grpc::ServerWriteReactor<Response>* ChangeStream(
    const Context& context, const grpc::CallbackServerContext& call, const Request* request,
    Task<Status> (*body)(const Context&, const Request&, const std::string& actor,
                         Sink<Response>&)) {
  auto reactor =
      std::make_shared<ServerStreamReactor<Response>>(context, WhenCallerLeaves::kFinish);
  reactor->Start(reactor, [&context, request, body, actor = CallerIdentity(call),
                           sink = reactor.get()] { return body(context, *request, actor, *sink); });
  return reactor.get();
}

template <typename Request, typename Response>
class BidiReactor final
    : public WritingReactor<grpc::ServerBidiReactor<Request, Response>, Response>,
      public Source<Request> {
  using Base = WritingReactor<grpc::ServerBidiReactor<Request, Response>, Response>;

 public:
  explicit BidiReactor(const Context& context)
      : Base(context, WhenCallerLeaves::kCancel), reads_(context.strand) {}

  void OnReadDone(bool ok) override {
    asio::post(this->context_.strand, [this, self = this->self(), ok] { reads_.Arrived(ok); });
  }

 protected:
  void OnCallerGone() override {
    Base::OnCallerGone();
    reads_.Close();
  }

 private:
  ReadGate& reads() override { return reads_; }
  void Receive() override { this->StartRead(&incoming_); }
  Request& incoming() override { return incoming_; }

  ReadGate reads_;
  Request incoming_;
};

// `body` is a coroutine (const Context&, Source<Request>&, Sink<Response>&) -> Status.
template <typename Request, typename Response>
grpc::ServerBidiReactor<Request, Response>* TwoWayStream(const Context& context,
                                                         Task<Status> (*body)(const Context&,
                                                                              Source<Request>&,
                                                                              Sink<Response>&)) {
  auto reactor = std::make_shared<BidiReactor<Request, Response>>(context);
  reactor->Start(reactor, [&context, body, stream = reactor.get()] {
    return body(context, *stream, *stream);
  });
  return reactor.get();
}

// A stream of requests and one answer, which may come before the stream's end: then what is left of
// it is not read.
template <typename Request, typename Response>
class UploadReactor final : public grpc::ServerReadReactor<Request>, public Source<Request> {
 public:
  UploadReactor(const Context& context, Response* response)
      : context_(context),
        response_(response),
        reads_(context.strand),
        task_(std::make_shared<CallTask>(context.strand, WhenCallerLeaves::kCancel)) {}

  void Start(const std::shared_ptr<UploadReactor>& self,
             std::function<Task<StatusOr<Response>>()> body) {
    self_ = self;
    task_->Start([self, body = std::move(body)] { return self->Answer(body); },
                 [self](const Status& status) { self->Finish(Report(self->context_, status)); });
  }

  void OnReadDone(bool ok) override {
    asio::post(context_.strand, [self = self_, ok] { self->reads_.Arrived(ok); });
  }
  void OnCancel() override {
    task_->Cancel([self = self_] { self->reads_.Close(); });
  }
  void OnDone() override { self_.reset(); }

 private:
  ReadGate& reads() override { return reads_; }
  void Receive() override { this->StartRead(&incoming_); }
  Request& incoming() override { return incoming_; }

  Task<Status> Answer(std::function<Task<StatusOr<Response>>()> body) {
    StatusOr<Response> answer = co_await body();
    if (answer.ok()) *response_ = *std::move(answer);
    co_return answer.status();
  }

  const Context& context_;
  Response* const response_;
  ReadGate reads_;
  Request incoming_;
  const std::shared_ptr<CallTask> task_;
  std::shared_ptr<UploadReactor> self_;
};

// `body` is a coroutine (const Context&, Source<Request>&, const std::string& actor) ->
// StatusOr<Response>.
template <typename Request, typename Response>
grpc::ServerReadReactor<Request>* Upload(
    const Context& context, const grpc::CallbackServerContext& call, Response* response,
    Task<StatusOr<Response>> (*body)(const Context&, Source<Request>&, const std::string&)) {
  auto reactor = std::make_shared<UploadReactor<Request, Response>>(context, response);
  reactor->Start(reactor, [&context, body, actor = CallerIdentity(call), source = reactor.get()] {
    return body(context, *source, actor);
  });
  return reactor.get();
}

}  // namespace claw::rpc
