#include "drivers/fake/fake_io.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <tuple>
#include <vector>

namespace claw::drivers {
namespace {

void Prepare(int fd) {
  if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) std::abort();
}

}  // namespace

std::pair<UniqueFd, UniqueFd> MakeSocketPair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) std::abort();
  for (const int fd : ends) Prepare(fd);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::pair<UniqueFd, UniqueFd> MakeBell() {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) std::abort();
  for (const int fd : ends) Prepare(fd);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

FakeIo::FakeIo() {
  std::tie(wake_read_, wake_write_) = MakeBell();
  thread_ = std::thread([this] { Loop(); });
}

FakeIo::~FakeIo() { Stop(); }

void FakeIo::Stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  Wake();
  thread_.join();
}

void FakeIo::Wake() {
  // A full pipe wakes the thread as well.
  [[maybe_unused]] const ssize_t ignored = ::write(wake_write_.get(), "", 1);
}

void FakeIo::AddReader(UniqueFd fd, std::function<void(std::string_view)> on_data) {
  {
    const std::lock_guard lock(mutex_);
    readers_.emplace(next_token_++, Reader{std::move(fd), std::move(on_data)});
  }
  Wake();
}

uint64_t FakeIo::AddWriter(UniqueFd fd) {
  const std::lock_guard lock(mutex_);
  const uint64_t token = next_token_++;
  writers_.emplace(token, Writer{std::move(fd), {}, false});
  return token;
}

void FakeIo::Write(uint64_t writer, std::string_view data) {
  {
    const std::lock_guard lock(mutex_);
    const auto it = writers_.find(writer);
    if (it == writers_.end() || it->second.closing) return;
    it->second.pending += data;
  }
  Wake();
}

void FakeIo::CloseWriter(uint64_t writer) {
  {
    const std::lock_guard lock(mutex_);
    const auto it = writers_.find(writer);
    if (it == writers_.end()) return;
    it->second.closing = true;
  }
  Wake();
}

void FakeIo::ReadFrom(uint64_t token) {
  std::array<char, 16384> buffer;
  ssize_t got = 0;
  std::function<void(std::string_view)> on_data;
  {
    const std::lock_guard lock(mutex_);
    const auto it = readers_.find(token);
    if (it == readers_.end()) return;
    got = ::read(it->second.fd.get(), buffer.data(), buffer.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    on_data = it->second.on_data;
    if (got <= 0) readers_.erase(it);
  }
  on_data(std::string_view(buffer.data(), got > 0 ? static_cast<size_t>(got) : 0));
}

void FakeIo::Flush(uint64_t token) {
  const std::lock_guard lock(mutex_);
  const auto it = writers_.find(token);
  if (it == writers_.end()) return;
  Writer& writer = it->second;
  if (!writer.pending.empty()) {
    const ssize_t put =
        ::send(writer.fd.get(), writer.pending.data(), writer.pending.size(), MSG_NOSIGNAL);
    if (put > 0) writer.pending.erase(0, static_cast<size_t>(put));
    if (put < 0 && errno != EINTR && errno != EAGAIN) writer.pending.clear();
  }
  if (!writer.closing || !writer.pending.empty()) return;
  ::shutdown(writer.fd.get(), SHUT_WR);
  writers_.erase(it);
}

void FakeIo::Loop() {
  while (true) {
    std::vector<pollfd> polls = {{wake_read_.get(), POLLIN, 0}};
    std::vector<uint64_t> tokens = {0};
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      for (const auto& [token, reader] : readers_) {
        polls.push_back({reader.fd.get(), POLLIN, 0});
        tokens.push_back(token);
      }
      for (const auto& [token, writer] : writers_) {
        if (writer.pending.empty() && !writer.closing) continue;
        polls.push_back({writer.fd.get(), POLLOUT, 0});
        tokens.push_back(token);
      }
    }
    if (::poll(polls.data(), static_cast<nfds_t>(polls.size()), -1) < 0) continue;
    std::array<char, 64> wakes;
    while (::read(wake_read_.get(), wakes.data(), wakes.size()) > 0) {
    }
    for (size_t i = 1; i < polls.size(); ++i) {
      if (polls[i].revents == 0) continue;
      if (polls[i].events == POLLIN) {
        ReadFrom(tokens[i]);
      } else {
        Flush(tokens[i]);
      }
    }
  }
}

}  // namespace claw::drivers
