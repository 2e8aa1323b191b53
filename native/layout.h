// What the addon and TypeScript must agree on. The addon exports these numbers as `layout`; src/io/native.ts reads
// them from there, so that neither side keeps a copy.
#ifndef LATCHWAY_LAYOUT_H
#define LATCHWAY_LAYOUT_H

#include <cstddef>
#include <cstdint>

namespace latchway {

// Every batch verb leaves a tally, an Int32Array: how many entries it moved, how many were refused one by one (and the
// errno of the last of those), and the errno that ended the batch before its last entry (0: nothing did).
constexpr size_t kTallyMoved = 0;
constexpr size_t kTallyRefused = 1;
constexpr size_t kTallyRefusedErrno = 2;
constexpr size_t kTallyStopErrno = 3;
constexpr size_t kTallySize = 4;

// Descriptors in one poll: a device queue, an eventfd, eight sockets and room for the cluster's.
constexpr size_t kPollMax = 64;

// Pieces that one frame may be written from: a batch of packets joined to one, 2 KiB of vectors on the stack.
constexpr size_t kPartsMax = 128;

// Words of an address: four, unsigned, host order, IPv4 mapped to (0, 0, 0xffff, address).
constexpr size_t kAddressWords = 4;
constexpr uint32_t kMappedWord = 0xffff;

// Datagrams per sendmmsg or recvmmsg: 7 KiB of headers on the stack; more saves nothing measurable.
constexpr size_t kDatagramsPerCall = 64;

// Offload bits of TUNSETOFFLOAD that the headers of older systems (6.1) do not name.
constexpr unsigned kTunUso4 = 0x20;
constexpr unsigned kTunUso6 = 0x40;

}  // namespace latchway

#endif
