// Batches of packets between a device queue and the arena: one system call per frame, which is what a TUN offers.
// Each entry is read from its column once, checked, then used: the columns may be shared with another thread.
#include <sys/uio.h>
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

// The pieces of one frame: the first entry with `header` bytes before it, then those that continue it.
bool gather(const View<uint8_t>& arena, const uint32_t* offsets, const uint32_t* lengths, size_t count, uint32_t header,
            iovec* pieces) {
  uint32_t before = header;
  for (size_t part = 0; part < count; part++, before = 0) {
    const uint32_t offset = offsets[part];
    const uint32_t length = lengths[part];
    if (!fits(arena, offset, before, length)) return false;
    pieces[part] = {arena.data + offset - before, static_cast<size_t>(before) + length};
  }
  return true;
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

// writePackets(fd, bytes, offsets, lengths, first, count, headerBytes, tally, parts?) -> entries used up, or -errno
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
  const bool joined = arguments.given(8);
  const View<uint32_t> parts = joined ? arguments.naturals(8) : View<uint32_t>();
  if (!arguments.valid() || !offsets.covers(first, count) || !lengths.covers(first, count) ||
      (joined && !parts.covers(first, count))) {
    tally.stop_errno = EINVAL;
    return make_integer(env, -EINVAL);
  }

  iovec pieces[kPartsMax];
  const size_t end = static_cast<size_t>(first) + count;
  size_t used = 0;
  for (size_t index = first; index < end; index += used) {
    used = joined ? parts.data[index] : 1;
    if (used == 0 || used > kPartsMax || used > end - index ||
        !gather(arena, offsets.data + index, lengths.data + index, used, header, pieces)) {
      tally.stop_errno = EINVAL;
      break;
    }
    ssize_t size;
    do {
      size = used == 1 ? write(fd, pieces->iov_base, pieces->iov_len)
                       : writev(fd, pieces, static_cast<int>(used));
    } while (size < 0 && errno == EINTR);
    if (size >= 0) {
      tally.moved += static_cast<int32_t>(used);
    } else if (errno == EAGAIN || is_fatal(errno)) {
      tally.stop_errno = errno;
      break;
    } else {
      const int error = errno;
      for (size_t part = 0; part < used; part++) tally.refuse(error);
    }
  }
  return make_integer(env, tally.result());
}

}  // namespace latchway
