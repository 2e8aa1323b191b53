// Batches of packets between a device queue and the arena: one system call per packet, which is what a TUN offers.
// Each entry is read from its column once, checked, then used: the columns may be shared with another thread.
#include <unistd.h>

#include <cerrno>

#include "arguments.h"
#include "verbs.h"

namespace latchway {
namespace {

// Errors that concern the descriptor and not the packet: the rest of the batch would meet them too.
bool is_fatal(int error) { return error == EBADF || error == EBADFD || error == ENODEV || error == ENXIO; }

// True when [offset - header, offset + size) lies in the arena. In 64 bits, so that no sum wraps.
bool fits(const View<uint8_t>& arena, uint64_t offset, uint64_t header, uint64_t size) {
  return offset >= header && offset + size <= arena.size;
}

}  // namespace

// readPackets(fd, bytes, offsets, lengths, first, max, headerBytes, room, tally) -> entries filled, or -errno
napi_value read_packets(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  const View<uint8_t> arena = arguments.bytes(1);
  const View<uint32_t> offsets = arguments.naturals(2);
  const View<uint32_t> lengths = arguments.naturals(3);
  const uint32_t first = arguments.natural(4);
  const uint32_t max = arguments.natural(5);
  const uint32_t header = arguments.natural(6);
  const uint32_t room = arguments.natural(7);
  Tally tally(arguments.integers(8));
  if (!arguments.valid() || !offsets.covers(first, max) || !lengths.covers(first, max) || room == 0) {
    tally.stop_errno = EINVAL;
    return make_integer(env, -EINVAL);
  }

  for (size_t index = first; index < static_cast<size_t>(first) + max; index++) {
    const uint32_t offset = offsets.data[index];
    if (!fits(arena, offset, header, room)) {
      tally.stop_errno = EINVAL;
      break;
    }
    const size_t space = static_cast<size_t>(header) + room;
    ssize_t size;
    do {
      size = read(fd, arena.data + offset - header, space);
    } while (size < 0 && errno == EINTR);
    if (size < 0 || size == 0) {
      tally.stop_errno = size == 0 ? EAGAIN : errno;
      break;
    }
    // A frame that fills the room may have been cut off there.
    if (static_cast<size_t>(size) <= header || static_cast<size_t>(size) == space) {
      lengths.data[index] = 0;
      tally.refuse(EMSGSIZE);
    } else {
      lengths.data[index] = static_cast<uint32_t>(size) - header;
      tally.moved++;
    }
  }
  return make_integer(env, tally.result());
}

// writePackets(fd, bytes, offsets, lengths, first, count, headerBytes, tally) -> entries used up, or -errno
napi_value write_packets(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  const View<uint8_t> arena = arguments.bytes(1);
  const View<uint32_t> offsets = arguments.naturals(2);
  const View<uint32_t> lengths = arguments.naturals(3);
  const uint32_t first = arguments.natural(4);
  const uint32_t count = arguments.natural(5);
  const uint32_t header = arguments.natural(6);
  Tally tally(arguments.integers(7));
  if (!arguments.valid() || !offsets.covers(first, count) || !lengths.covers(first, count)) {
    tally.stop_errno = EINVAL;
    return make_integer(env, -EINVAL);
  }

  for (size_t index = first; index < static_cast<size_t>(first) + count; index++) {
    const uint32_t offset = offsets.data[index];
    const uint32_t length = lengths.data[index];
    if (!fits(arena, offset, header, length)) {
      tally.stop_errno = EINVAL;
      break;
    }
    ssize_t size;
    do {
      size = write(fd, arena.data + offset - header, static_cast<size_t>(header) + length);
    } while (size < 0 && errno == EINTR);
    if (size >= 0) {
      tally.moved++;
    } else if (errno == EAGAIN || is_fatal(errno)) {
      tally.stop_errno = errno;
      break;
    } else {
      tally.refuse(errno);
    }
  }
  return make_integer(env, tally.result());
}

}  // namespace latchway
