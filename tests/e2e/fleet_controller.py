"""A fleet controller that knows nothing of clawlet but proto/claw/node/v1.

    fleet_controller.py SOCKET STUBS

It asks, reserves, commits, watches and survives a restart of the agent. When it wants the agent to be
restarted it prints "restart" and reads a line; at the end it prints "done". Whatever is not as it has to be
ends it with an exception.
"""

import sys
import threading
import uuid

import grpc

sys.path.insert(0, sys.argv[2])
from claw.node.v1 import (common_pb2, node_pb2, node_pb2_grpc, placement_pb2,
                          placement_pb2_grpc, sandbox_pb2, sandbox_pb2_grpc)

DEADLINE = 60  # seconds, of each call and of each wait
Refused = common_pb2.ErrorDetail.REFUSED


def detail_of(error):
  """The ErrorDetail and, if there is one, the Explanation of an RpcError."""
  detail, explanation = common_pb2.ErrorDetail(), placement_pb2.Explanation()
  for key, value in error.trailing_metadata():
    if key != "grpc-status-details-bin":
      continue
    status = common_pb2.RpcStatus.FromString(value)
    for any_message in status.details:
      any_message.Unpack(detail) or any_message.Unpack(explanation)
  return detail, explanation


def expect(condition, what):
  if not condition:
    raise AssertionError(what)


class Watch:
  """Follows WatchNode on a thread of its own, over broken streams."""

  def __init__(self, channel):
    self.stub = node_pb2_grpc.NodeServiceStub(channel)
    self.changed = threading.Condition()
    self.node, self.revision, self.stopping, self.stream = None, 0, False, None
    self.breaks = 0
    self.thread = threading.Thread(target=self.follow, daemon=True)
    self.thread.start()

  def follow(self):
    while not self.stopping:
      request = node_pb2.WatchNodeRequest(resume_revision=self.revision)
      try:
        self.stream = self.stub.WatchNode(request, wait_for_ready=True)
        for change in self.stream:
          with self.changed:
            expect(change.revision >= self.revision, "revisions went backwards")
            self.node, self.revision = change.node, change.revision
            self.changed.notify_all()
      except grpc.RpcError as error:
        if self.stopping:
          return
        expect(error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED), str(error))
        with self.changed:
          self.breaks += 1
          self.changed.notify_all()

  def until(self, what, condition):
    with self.changed:
      expect(self.changed.wait_for(lambda: condition(self), DEADLINE), "never saw: " + what)
      return self.node

  def stop(self):
    self.stopping = True
    self.stream.cancel()
    self.thread.join(DEADLINE)


class Controller:

  def __init__(self, channel):
    self.places = placement_pb2_grpc.PlacementServiceStub(channel)
    self.sandboxes = sandbox_pb2_grpc.SandboxServiceStub(channel)
    self.nodes = node_pb2_grpc.NodeServiceStub(channel)
    self.generation = 1

  def fence(self, node):
    return common_pb2.Fence(boot_id=node.boot_id, controller_generation=self.generation)

  def call(self, method, request):
    """Repeats a call whose outcome is not known until it is."""
    while True:
      try:
        return method(request, timeout=DEADLINE, wait_for_ready=True)
      except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNAVAILABLE:
          raise

  def refusal(self, method, request):
    try:
      self.call(method, request)
    except grpc.RpcError as error:
      return error
    raise AssertionError("it was not refused")


def spec(tenant, **more):
  return sandbox_pb2.SandboxSpec(tenant="tenants/" + tenant, image="busybox", command=["sleep"],
                                 args=["1000"], workload_bytes=32 << 20, **more)


def main():
  channel = grpc.insecure_channel("unix:" + sys.argv[1])
  controller = Controller(channel)
  watch = Watch(channel)
  node = watch.until("the node", lambda w: w.node is not None)
  expect(node.memory.charged_bytes == 0, "it is not empty at first")

  # Where could it run, and why not there?
  targets = controller.call(controller.places.ListTargets, placement_pb2.ListTargetsRequest()).targets
  expect([t.name for t in targets] == ["host"], "targets")
  fits = controller.call(controller.places.Explain, placement_pb2.ExplainRequest(spec=spec("guest")))
  expect(fits.targets[0].fits and fits.targets[0].driver == "gvisor", str(fits))
  huge = spec("guest", node_selector={"gpu": "yes"})
  huge.workload_bytes = 1 << 43
  unfit = controller.call(controller.places.Explain, placement_pb2.ExplainRequest(spec=huge))
  unmet = [c.name for c in unfit.targets[0].constraints if not c.met]
  expect(unmet == ["node_selector", "node.memory.allocatable_bytes"], str(unmet))

  # A refusal has no effect, and says the same.
  error = controller.refusal(controller.places.Reserve, placement_pb2.ReserveRequest(spec=huge))
  detail, explanation = detail_of(error)
  expect(detail.outcome == Refused and detail.constraint == unmet[0], str(detail))
  expect([c.name for c in explanation.constraints] == unmet, str(explanation))

  # Two phases; the agent is killed between them, and again in the middle of the second.
  ids = [str(uuid.uuid4()) for _ in range(4)]
  held = []
  for i, tenant in enumerate(["guest", "house", "guest", "house"]):
    request = placement_pb2.ReserveRequest(spec=spec(tenant), request_id=ids[i], fence=controller.fence(node))
    request.ttl.seconds = 600
    held.append(controller.call(controller.places.Reserve, request))
  charged = sum(h.sandbox.resources.memory.cgroup_max_bytes for h in held)
  watch.until("four places", lambda w: w.node.memory.charged_bytes == charged)
  restart()
  watch.until("the stream broke", lambda w: w.breaks > 0)
  watch.until("the new agent", lambda w: w.node.incarnation_id != node.incarnation_id)

  for i, h in enumerate(held):
    # The same id is the same place.
    request = placement_pb2.ReserveRequest(spec=h.sandbox.spec, request_id=ids[i])
    request.ttl.seconds = 600
    expect(controller.call(controller.places.Reserve, request).name == h.name, "another place")
  started = []
  for i, h in enumerate(held[:3]):
    request = placement_pb2.CommitRequest(name=h.name, request_id="c" + ids[i], fence=controller.fence(node))
    if i == 1:
      # Its outcome is not known: the agent goes while it is at work. Asked again, it is.
      pending = controller.places.Commit.future(request, timeout=DEADLINE)
      restart()
      pending.exception()
    try:
      sandbox = controller.call(controller.places.Commit, request)
      again = controller.call(controller.places.Commit, request)
      expect(again.name == sandbox.name == h.sandbox.name, "a second sandbox")
      expect(sandbox.state == sandbox_pb2.SANDBOX_STATE_RUNNING, str(sandbox))
      started.append(sandbox)
    except grpc.RpcError as error:
      # It was taken back whole; then it stays so.
      expect(i == 1 and detail_of(error)[0].outcome == common_pb2.ErrorDetail.UNDONE, str(error))
      again = controller.refusal(controller.places.Commit, request)
      expect(again.code() == error.code(), "two answers")
  controller.call(controller.places.Release, placement_pb2.ReleaseRequest(name=held[3].name))

  listed = controller.call(controller.sandboxes.ListSandboxes, sandbox_pb2.ListSandboxesRequest())
  expect(sorted(s.name for s in listed.sandboxes) == sorted(s.name for s in started), str(listed))
  running = sum(s.resources.memory.cgroup_max_bytes for s in started)
  watch.until("what runs", lambda w: w.node.memory.charged_bytes == running)

  # A newer controller takes over; this one is out.
  newer = node_pb2.CordonNodeRequest(reason="under repair")
  newer.fence.controller_generation = 2
  controller.call(controller.nodes.CordonNode, newer)
  watch.until("the cordon", lambda w: w.node.cordon.reason == "under repair")
  error = controller.refusal(controller.places.Reserve,
                             placement_pb2.ReserveRequest(spec=spec("house"), fence=controller.fence(node)))
  expect(detail_of(error)[0].reason == "STALE_CONTROLLER", str(detail_of(error)[0]))
  controller.generation = 2
  error = controller.refusal(controller.places.Reserve,
                             placement_pb2.ReserveRequest(spec=spec("house"), fence=controller.fence(node)))
  expect(detail_of(error)[0].reason == "CORDONED", str(detail_of(error)[0]))
  controller.call(controller.nodes.UncordonNode, node_pb2.UncordonNodeRequest())

  # Many at once.
  batch = placement_pb2.ReserveBatchRequest(all_or_nothing=True, request_id=str(uuid.uuid4()))
  for _ in range(8):
    batch.items.add().spec.CopyFrom(spec("guest"))
  results = controller.call(controller.places.ReserveBatch, batch).results
  expect(all(r.HasField("reservation") for r in results), str(results))
  again = controller.call(controller.places.ReserveBatch, batch).results
  expect([r.reservation.name for r in again] == [r.reservation.name for r in results], "other places")
  watch.stop()
  print("done", flush=True)


def restart():
  print("restart", flush=True)
  expect(sys.stdin.readline() == "restarted\n", "nobody restarted the agent")


main()
