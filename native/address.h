// Four words in host order to and from a socket address. The only place in the addon that knows byte order.
#ifndef LATCHWAY_ADDRESS_H
#define LATCHWAY_ADDRESS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>

#include "layout.h"

namespace latchway {

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

// Fills `into` for a socket of `family` (AF_INET or AF_INET6); words are as in layout.h. Returns its size, or 0 when
// the address is not of that family.
inline socklen_t pack_address(int family, const uint32_t* words, uint32_t port, SocketAddress* into) {
  std::memset(into, 0, sizeof *into);
  const bool mapped = words[0] == 0 && words[1] == 0 && words[2] == kMappedWord;
  if (family == AF_INET) {
    if (!mapped) return 0;
    into->v4.sin_family = AF_INET;
    into->v4.sin_port = htons(static_cast<uint16_t>(port));
    into->v4.sin_addr.s_addr = htonl(words[3]);
    return sizeof into->v4;
  }
  if (mapped) return 0;
  into->v6.sin6_family = AF_INET6;
  into->v6.sin6_port = htons(static_cast<uint16_t>(port));
  for (size_t word = 0; word < kAddressWords; word++) {
    const uint32_t network = htonl(words[word]);
    std::memcpy(into->v6.sin6_addr.s6_addr + word * 4, &network, 4);
  }
  return sizeof into->v6;
}

// The reverse. Returns the port.
inline uint32_t unpack_address(const SocketAddress& from, uint32_t* words) {
  if (from.any.sa_family == AF_INET) {
    words[0] = 0;
    words[1] = 0;
    words[2] = kMappedWord;
    words[3] = ntohl(from.v4.sin_addr.s_addr);
    return ntohs(from.v4.sin_port);
  }
  for (size_t word = 0; word < kAddressWords; word++) {
    uint32_t network;
    std::memcpy(&network, from.v6.sin6_addr.s6_addr + word * 4, 4);
    words[word] = ntohl(network);
  }
  return ntohs(from.v6.sin6_port);
}

}  // namespace latchway

#endif
