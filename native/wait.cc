// Waiting on several descriptors, waking from another thread, and the one clock.
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "arguments.h"
#include "descriptor.h"
#include "verbs.h"

namespace latchway {
namespace {

int64_t monotonic_ns() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

// Looks again and again for at most `spin_us`, giving the CPU to whoever else wants it in between.
int spin(pollfd* entries, size_t count, uint32_t spin_us) {
  const int64_t end = monotonic_ns() + static_cast<int64_t>(spin_us) * 1000;
  int ready;
  while ((ready = poll(entries, count, 0)) == 0 && monotonic_ns() < end) sched_yield();
  return ready;
}

}  // namespace

// poll(fds, revents, timeoutMs, spinUs?) -> descriptors ready (0: time ran out, or a signal), or -errno
napi_value poll_descriptors(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const View<int32_t> fds = arguments.integers(0);
  const View<int32_t> revents = arguments.integers(1);
  const int timeout_ms = arguments.integer(2);
  const uint32_t spin_us = arguments.given(3) ? arguments.natural(3) : 0;
  if (!arguments.valid() || fds.size > kPollMax || revents.size < fds.size) return make_integer(env, -EINVAL);

  pollfd entries[kPollMax];
  for (size_t index = 0; index < fds.size; index++) entries[index] = {fds.data[index], POLLIN, 0};
  const size_t count = fds.size;
  int ready = spin_us > 0 ? spin(entries, count, spin_us) : 0;
  if (ready == 0) ready = poll(entries, count, timeout_ms);
  for (size_t index = 0; index < count; index++) revents.data[index] = ready > 0 ? entries[index].revents : 0;
  if (ready < 0) return make_integer(env, errno == EINTR ? 0 : -errno);
  return make_integer(env, ready);
}

// eventOpen() -> fd
napi_value event_open(napi_env env, napi_callback_info) {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return throw_errno(env, "eventfd", errno);
  own_descriptor(env, fd);
  return make_integer(env, fd);
}

// eventWake(fd) -> 0 or -errno. A counter that is full (EAGAIN) wakes as well as one that is not.
napi_value event_wake(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  if (!arguments.valid()) return make_integer(env, -EINVAL);
  const uint64_t one = 1;
  ssize_t size;
  do {
    size = write(fd, &one, sizeof one);
  } while (size < 0 && errno == EINTR);
  return make_integer(env, size >= 0 || errno == EAGAIN ? 0 : -errno);
}

// eventDrain(fd) -> 1 when it was woken since, 0 when not, or -errno
napi_value event_drain(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  if (!arguments.valid()) return make_integer(env, -EINVAL);
  uint64_t counter = 0;
  ssize_t size;
  do {
    size = read(fd, &counter, sizeof counter);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return make_integer(env, errno == EAGAIN ? 0 : -errno);
  return make_integer(env, 1);
}

// monotonicMs() -> milliseconds of CLOCK_MONOTONIC modulo 2^32; the same clock in every thread
napi_value monotonic_ms(napi_env env, napi_callback_info) {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const uint64_t ms = static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
  return make_natural(env, static_cast<uint32_t>(ms));
}

}  // namespace latchway
