// Batches of datagrams between a socket and the arena, by sendmmsg and recvmmsg. Destinations are rows of a table of
// addresses (four words each) and ports; each packet names its row.
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "address.h"
#include "arguments.h"
#include "verbs.h"

namespace latchway {
namespace {

bool is_fatal(int error) { return error == EBADF || error == ENOTSOCK || error == EOPNOTSUPP; }

struct Chunk {
  mmsghdr messages[kDatagramsPerCall];
  iovec parts[kDatagramsPerCall];
  SocketAddress addresses[kDatagramsPerCall];

  void set(size_t at, void* data, size_t size, socklen_t address_size) {
    parts[at] = {data, size};
    messages[at] = {};
    messages[at].msg_hdr.msg_name = &addresses[at];
    messages[at].msg_hdr.msg_namelen = address_size;
    messages[at].msg_hdr.msg_iov = &parts[at];
    messages[at].msg_hdr.msg_iovlen = 1;
  }
};

struct Outgoing {
  View<uint8_t> arena;
  View<uint32_t> offsets;
  View<uint32_t> lengths;
  View<uint32_t> targets;
  View<uint32_t> addresses;
  View<uint32_t> ports;
  int family;
};

// Puts packet `index` at place `at`. Returns 0, or the errno of a packet that cannot be sent: EFAULT stands for columns
// that point outside the arena or the table.
int prepare(const Outgoing& from, size_t index, Chunk* chunk, size_t at) {
  const uint64_t offset = from.offsets.data[index];
  const uint64_t length = from.lengths.data[index];
  const size_t target = from.targets.data[index];
  if (offset + length > from.arena.size) return EFAULT;
  if (target >= from.ports.size || target >= from.addresses.size / kAddressWords) return EFAULT;
  const uint32_t* words = from.addresses.data + target * kAddressWords;
  const socklen_t size = pack_address(from.family, words, from.ports.data[target], &chunk->addresses[at]);
  if (size == 0) return EAFNOSUPPORT;
  chunk->set(at, from.arena.data + offset, length, size);
  return 0;
}

// Sends a chunk, stepping over each datagram that the kernel refuses. False when the batch must stop.
bool send_chunk(int fd, Chunk* chunk, size_t count, Tally* tally) {
  size_t sent = 0;
  while (sent < count) {
    const int result = sendmmsg(fd, chunk->messages + sent, static_cast<unsigned>(count - sent), MSG_DONTWAIT);
    if (result > 0) {
      tally->moved += result;
      sent += static_cast<size_t>(result);
    } else if (errno == EAGAIN || is_fatal(errno)) {
      tally->stop_errno = errno;
      return false;
    } else if (errno != EINTR) {
      // sendmmsg names the error of the first datagram only; those behind it were not tried.
      tally->refuse(errno);
      sent++;
    }
  }
  return true;
}

}  // namespace

// sendBatch(fd, family, bytes, offsets, lengths, targets, addresses, ports, first, count, tally) -> used up, or -errno
napi_value send_batch(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  const int family = arguments.integer(1);
  const Outgoing from = {arguments.bytes(2),    arguments.naturals(3), arguments.naturals(4), arguments.naturals(5),
                         arguments.naturals(6), arguments.naturals(7), family};
  const uint32_t first = arguments.natural(8);
  const uint32_t count = arguments.natural(9);
  Tally tally(arguments.integers(10));
  if (!arguments.valid() || !from.offsets.covers(first, count) || !from.lengths.covers(first, count) ||
      !from.targets.covers(first, count)) {
    tally.stop_errno = EINVAL;
    return make_integer(env, -EINVAL);
  }

  Chunk chunk;
  size_t index = first;
  const size_t end = static_cast<size_t>(first) + count;
  while (index < end && tally.stop_errno == 0) {
    size_t ready = 0;
    int error = 0;
    while (index < end && ready < kDatagramsPerCall) {
      error = prepare(from, index, &chunk, ready);
      if (error != 0) break;
      ready++;
      index++;
    }
    // What is ready goes first, so that entries are used up in their order.
    if (!send_chunk(fd, &chunk, ready, &tally)) break;
    if (error == EFAULT) {
      tally.stop_errno = EINVAL;
    } else if (error != 0) {
      tally.refuse(error);
      index++;
    }
  }
  return make_integer(env, tally.result());
}

// receiveBatch(fd, bytes, offsets, lengths, addresses, ports, first, max, room, tally) -> entries filled, or -errno
napi_value receive_batch(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  const View<uint8_t> arena = arguments.bytes(1);
  const View<uint32_t> offsets = arguments.naturals(2);
  const View<uint32_t> lengths = arguments.naturals(3);
  const View<uint32_t> addresses = arguments.naturals(4);
  const View<uint32_t> ports = arguments.naturals(5);
  const uint32_t first = arguments.natural(6);
  const uint32_t max = arguments.natural(7);
  const uint32_t room = arguments.natural(8);
  Tally tally(arguments.integers(9));
  const uint64_t end = static_cast<uint64_t>(first) + max;
  if (!arguments.valid() || !offsets.covers(first, max) || !lengths.covers(first, max) || !ports.covers(first, max) ||
      end > addresses.size / kAddressWords) {
    tally.stop_errno = EINVAL;
    return make_integer(env, -EINVAL);
  }

  Chunk chunk;
  size_t index = first;
  while (index < end && tally.stop_errno == 0) {
    const size_t wanted = std::min<size_t>(end - index, kDatagramsPerCall);
    size_t ready = 0;
    for (; ready < wanted; ready++) {
      const uint64_t offset = offsets.data[index + ready];
      if (offset + room > arena.size) break;
      chunk.addresses[ready] = {};
      chunk.set(ready, arena.data + offset, room, sizeof(SocketAddress));
    }
    if (ready == 0) {
      tally.stop_errno = EINVAL;
      break;
    }
    int received;
    do {
      received = recvmmsg(fd, chunk.messages, static_cast<unsigned>(ready), MSG_DONTWAIT, nullptr);
    } while (received < 0 && errno == EINTR);
    if (received < 0) {
      tally.stop_errno = errno;
      break;
    }
    for (size_t at = 0; at < static_cast<size_t>(received); at++, index++) {
      const bool cut = (chunk.messages[at].msg_hdr.msg_flags & MSG_TRUNC) != 0;
      lengths.data[index] = cut ? 0 : chunk.messages[at].msg_len;
      ports.data[index] = unpack_address(chunk.addresses[at], addresses.data + index * kAddressWords);
      if (cut) {
        tally.refuse(EMSGSIZE);
      } else {
        tally.moved++;
      }
    }
    if (static_cast<size_t>(received) < ready) tally.stop_errno = EAGAIN;
  }
  return make_integer(env, tally.result());
}

}  // namespace latchway
