// The TUN device: open a queue, choose what the kernel may leave to the reader (include/uapi/linux/if_tun.h).
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "arguments.h"
#include "descriptor.h"
#include "verbs.h"

namespace latchway {
namespace {

// struct virtio_net_hdr_mrg_rxbuf; with 12 bytes the IP header behind it stays aligned to four.
constexpr int kVnetHeaderSize = 12;
constexpr unsigned kOffloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
constexpr unsigned kUso = kTunUso4 | kTunUso6;

// Applies the offloads, without USO where the kernel (before 6.2) does not know it. Returns what holds, or -errno.
int set_offloads(int fd, unsigned offloads) {
  if (ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(offloads)) == 0) return static_cast<int>(offloads);
  if (errno != EINVAL || (offloads & kUso) == 0) return -errno;
  offloads &= ~kUso;
  if (ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(offloads)) == 0) return static_cast<int>(offloads);
  return -errno;
}

// Attaches `fd` to the device that `request` names. Returns the call that failed, errno being set, or nullptr.
const char* attach(int fd, ifreq* request, int* offloads) {
  if (ioctl(fd, TUNSETIFF, request) != 0) return "ioctl TUNSETIFF";
  int header_size = kVnetHeaderSize;
  if (ioctl(fd, TUNSETVNETHDRSZ, &header_size) != 0) return "ioctl TUNSETVNETHDRSZ";
  *offloads = set_offloads(fd, kOffloads | kUso);
  if (*offloads < 0) {
    errno = -*offloads;
    return "ioctl TUNSETOFFLOAD";
  }
  return nullptr;
}

napi_value describe(napi_env env, int fd, const char* name, int offloads) {
  napi_value result, text;
  if (napi_create_object(env, &result) != napi_ok ||
      napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &text) != napi_ok) {
    return nullptr;
  }
  napi_set_named_property(env, result, "fd", make_integer(env, fd));
  napi_set_named_property(env, result, "name", text);
  napi_set_named_property(env, result, "offloads", make_integer(env, offloads));
  return result;
}

}  // namespace

// tunOpen(name, multiQueue, exclusive) -> { fd, name, offloads }
napi_value tun_open(napi_env env, napi_callback_info info) {
  ifreq request = {};
  Arguments arguments(env, info);
  arguments.text(0, request.ifr_name, IFNAMSIZ);
  const bool multi_queue = arguments.boolean(1);
  const bool exclusive = arguments.boolean(2);
  if (!arguments.valid()) return throw_errno(env, "tunOpen", EINVAL);

  // ifr_flags is a short, and IFF_TUN_EXCL its sign bit.
  int flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if (multi_queue) flags |= IFF_MULTI_QUEUE;
  if (exclusive) flags |= IFF_TUN_EXCL;
  request.ifr_flags = static_cast<short>(flags);

  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return throw_errno(env, "open /dev/net/tun", errno);
  int offloads = 0;
  const char* failed = attach(fd, &request, &offloads);
  if (failed != nullptr) {
    const int error = errno;
    close(fd);
    return throw_errno(env, failed, error);
  }
  own_descriptor(env, fd);
  return describe(env, fd, request.ifr_name, offloads);
}

// tunSetOffload(fd, bits) -> the bits that hold, or -errno
napi_value tun_set_offload(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  const uint32_t bits = arguments.natural(1);
  if (!arguments.valid() || (bits & ~(kOffloads | kUso)) != 0) return make_integer(env, -EINVAL);
  return make_integer(env, set_offloads(fd, bits));
}

}  // namespace latchway
