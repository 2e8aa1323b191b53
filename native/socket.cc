// UDP and raw sockets: open, options, bind, multicast groups. Which options a socket needs is TypeScript's to say (src/io/socket.ts).
#include <linux/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "address.h"
#include "arguments.h"
#include "descriptor.h"
#include "verbs.h"

namespace latchway {

// socketOpen(family, type, protocol) -> fd; family AF_INET or AF_INET6, nonblocking
napi_value socket_open(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int family = arguments.integer(0);
  const int type = arguments.integer(1);
  const int protocol = arguments.integer(2);
  if (!arguments.valid() || (family != AF_INET && family != AF_INET6) || (type != SOCK_DGRAM && type != SOCK_RAW)) {
    return throw_errno(env, "socketOpen", EINVAL);
  }
  const int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) return throw_errno(env, "socket", errno);
  own_descriptor(env, fd);
  return make_integer(env, fd);
}

// socketOption(fd, level, name, value) -> 0 or -errno
napi_value socket_option(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  const int level = arguments.integer(1);
  const int name = arguments.integer(2);
  const int value = arguments.integer(3);
  if (!arguments.valid()) return make_integer(env, -EINVAL);
  return make_integer(env, setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno);
}

// socketDevice(fd, name) -> 0 or -errno: SO_BINDTODEVICE
napi_value socket_device(napi_env env, napi_callback_info info) {
  char name[IFNAMSIZ];
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  arguments.text(1, name, sizeof name);
  if (!arguments.valid()) return make_integer(env, -EINVAL);
  const auto size = static_cast<socklen_t>(std::strlen(name) + 1);
  return make_integer(env, setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, size) == 0 ? 0 : -errno);
}

// socketBind(fd, family, address words, port) -> 0 or -errno
napi_value socket_bind(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  const int family = arguments.integer(1);
  const View<uint32_t> words = arguments.naturals(2);
  const uint32_t port = arguments.natural(3);
  if (!arguments.valid() || words.size < kAddressWords || port > UINT16_MAX) return make_integer(env, -EINVAL);
  SocketAddress address;
  const socklen_t size = pack_address(family, words.data, port, &address);
  if (size == 0) return make_integer(env, -EAFNOSUPPORT);
  return make_integer(env, bind(fd, &address.any, size) == 0 ? 0 : -errno);
}

// socketPort(fd) -> the local port (what the kernel chose for port 0), or -errno
napi_value socket_port(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  if (!arguments.valid()) return make_integer(env, -EINVAL);
  SocketAddress address = {};
  socklen_t size = sizeof address;
  if (getsockname(fd, &address.any, &size) != 0) return make_integer(env, -errno);
  uint32_t words[kAddressWords];
  return make_integer(env, static_cast<int32_t>(unpack_address(address, words)));
}

// socketJoin(fd, family, group words, interface index) -> 0 or -errno: IP_ADD_MEMBERSHIP, IPV6_JOIN_GROUP
napi_value socket_join(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  const int family = arguments.integer(1);
  const View<uint32_t> words = arguments.naturals(2);
  const int interface = arguments.integer(3);
  if (!arguments.valid() || words.size < kAddressWords || interface <= 0) return make_integer(env, -EINVAL);
  SocketAddress group;
  if (pack_address(family, words.data, 0, &group) == 0) return make_integer(env, -EAFNOSUPPORT);
  int result;
  if (family == AF_INET) {
    ip_mreqn request = {};
    request.imr_multiaddr = group.v4.sin_addr;
    request.imr_ifindex = interface;
    result = setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request);
  } else {
    ipv6_mreq request = {};
    request.ipv6mr_multiaddr = group.v6.sin6_addr;
    request.ipv6mr_interface = static_cast<unsigned>(interface);
    result = setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request);
  }
  return make_integer(env, result == 0 ? 0 : -errno);
}

// socketGroupInterface(fd, family, interface index) -> 0 or -errno: IP_MULTICAST_IF, IPV6_MULTICAST_IF
napi_value socket_group_interface(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  const int family = arguments.integer(1);
  const int interface = arguments.integer(2);
  if (!arguments.valid() || interface <= 0) return make_integer(env, -EINVAL);
  int result;
  if (family == AF_INET) {
    ip_mreqn request = {};
    request.imr_ifindex = interface;
    result = setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request);
  } else if (family == AF_INET6) {
    result = setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &interface, sizeof interface);
  } else {
    return make_integer(env, -EAFNOSUPPORT);
  }
  return make_integer(env, result == 0 ? 0 : -errno);
}

napi_value socket_constants(napi_env env) {
  napi_value result;
  if (napi_create_object(env, &result) != napi_ok) return nullptr;
  const struct {
    const char* name;
    int value;
  } constants[] = {
      {"AF_INET", AF_INET},
      {"AF_INET6", AF_INET6},
      {"SOCK_DGRAM", SOCK_DGRAM},
      {"SOCK_RAW", SOCK_RAW},
      {"SOL_SOCKET", SOL_SOCKET},
      {"SO_RCVBUF", SO_RCVBUF},
      {"SO_SNDBUF", SO_SNDBUF},
      {"SO_RCVBUFFORCE", SO_RCVBUFFORCE},
      {"SO_SNDBUFFORCE", SO_SNDBUFFORCE},
      {"SO_MARK", SO_MARK},
      {"IPPROTO_IP", IPPROTO_IP},
      {"IP_TTL", IP_TTL},
      {"IP_MTU_DISCOVER", IP_MTU_DISCOVER},
      {"IP_PMTUDISC_DONT", IP_PMTUDISC_DONT},
      {"IP_MULTICAST_TTL", IP_MULTICAST_TTL},
      {"IP_MULTICAST_LOOP", IP_MULTICAST_LOOP},
      {"IP_MULTICAST_ALL", IP_MULTICAST_ALL},
      {"IPPROTO_IPV6", IPPROTO_IPV6},
      {"IPV6_V6ONLY", IPV6_V6ONLY},
      {"IPV6_UNICAST_HOPS", IPV6_UNICAST_HOPS},
      {"IPV6_MTU_DISCOVER", IPV6_MTU_DISCOVER},
      {"IPV6_PMTUDISC_DONT", IPV6_PMTUDISC_DONT},
      {"IPV6_MULTICAST_HOPS", IPV6_MULTICAST_HOPS},
      {"IPV6_MULTICAST_LOOP", IPV6_MULTICAST_LOOP},
      {"IPV6_MULTICAST_ALL", IPV6_MULTICAST_ALL},
  };
  for (const auto& constant : constants) {
    napi_set_named_property(env, result, constant.name, make_integer(env, constant.value));
  }
  return result;
}

}  // namespace latchway
