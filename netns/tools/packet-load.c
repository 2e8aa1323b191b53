// IPv4 packets of any source, by a raw socket.
//   packet-load syn VIP PORT MILLISECONDS RATE   SYNs of random sources in 100.64.0.0/10, RATE a second (0: as many as go)
//   packet-load send                             whole packets from standard input, each behind its length (u16, big-endian)
// Prints {"sent":N,"refused":N,"ms":N}. One thread, pinned to CPU 0.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, SYN_SIZE = 40, PACKET_MAX = 65535 };

static unsigned long sent, refused;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static void put16(unsigned char* at, unsigned value) {
  at[0] = (unsigned char)(value >> 8);
  at[1] = (unsigned char)value;
}

static void put32(unsigned char* at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value & 0xffff);
}

static unsigned sum(const unsigned char* bytes, int size) {
  unsigned total = 0;
  for (int at = 0; at < size; at += 2) total += (unsigned)(bytes[at] << 8 | bytes[at + 1]);
  return total;
}

static uint32_t random_state = 2463534242u;

static uint32_t draw(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  return random_state ^= random_state << 5;
}

// IPv4 and TCP header; the kernel completes the first (raw(7)).
static void build_syn(unsigned char* packet, uint32_t vip, unsigned port) {
  memset(packet, 0, SYN_SIZE);
  put16(packet, 0x4500);
  put16(packet + 2, SYN_SIZE);
  packet[8] = 64;
  packet[9] = IPPROTO_TCP;
  put32(packet + 12, 0x64400000u | (draw() & 0x3fffff));
  put32(packet + 16, vip);
  unsigned char* tcp = packet + 20;
  put16(tcp, 1024 + draw() % 60000);
  put16(tcp + 2, port);
  put32(tcp + 4, draw());
  put16(tcp + 12, 0x5002);
  put16(tcp + 14, 65535);
  unsigned total = sum(packet + 12, 8) + IPPROTO_TCP + 20 + sum(tcp, 20);
  total = (total & 0xffff) + (total >> 16);
  total = (total & 0xffff) + (total >> 16);
  put16(tcp + 16, ~total & 0xffff);
}

// How many may go now: all that the rate owes, at most a batch; sleeps while less than a quarter of one is owed.
static int due(double start, double rate) {
  if (rate == 0) return BATCH;
  for (;;) {
    const double owed = (now() - start) * rate - (double)(sent + refused);
    if (owed >= BATCH) return BATCH;
    if (owed >= BATCH / 4) return (int)owed;
    const struct timespec nap = {0, (long)(BATCH / 2 / rate * 1e9) % 1000000000};
    nanosleep(&nap, NULL);
  }
}

static void send_syns(int fd, char** words) {
  static unsigned char packets[BATCH][SYN_SIZE];
  static struct iovec vectors[BATCH];
  static struct mmsghdr messages[BATCH];
  struct sockaddr_in to = {.sin_family = AF_INET};
  if (inet_pton(AF_INET, words[0], &to.sin_addr) != 1) fail("address");
  const unsigned port = (unsigned)atoi(words[1]);
  const double seconds = atof(words[2]) / 1000, rate = atof(words[3]);
  for (int index = 0; index < BATCH; index++) {
    vectors[index] = (struct iovec){packets[index], SYN_SIZE};
    messages[index].msg_hdr.msg_iov = &vectors[index];
    messages[index].msg_hdr.msg_iovlen = 1;
    messages[index].msg_hdr.msg_name = &to;
    messages[index].msg_hdr.msg_namelen = sizeof to;
  }
  const double start = now();
  while (now() - start < seconds) {
    const int count = due(start, rate);
    for (int index = 0; index < count; index++) build_syn(packets[index], ntohl(to.sin_addr.s_addr), port);
    const int done = sendmmsg(fd, messages, (unsigned)count, 0);
    if (done > 0) sent += (unsigned long)done;
    if (done < count) refused += (unsigned long)(count - (done > 0 ? done : 0));
  }
}

static void send_given(int fd) {
  static unsigned char packet[PACKET_MAX];
  unsigned char length[2];
  while (fread(length, 1, 2, stdin) == 2) {
    const size_t size = (size_t)(length[0] << 8 | length[1]);
    if (fread(packet, 1, size, stdin) != size || size < 20) fail("packet");
    struct sockaddr_in to = {.sin_family = AF_INET};
    memcpy(&to.sin_addr, packet + 16, 4);
    if (sendto(fd, packet, size, 0, (struct sockaddr*)&to, sizeof to) == (ssize_t)size)
      sent++;
    else
      refused++;
  }
}

int main(int count, char** words) {
  cpu_set_t first;
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  sched_setaffinity(0, sizeof first, &first);
  prctl(PR_SET_TIMERSLACK, 1);
  const int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  if (fd < 0) fail("socket");
  const double start = now();
  if (count == 6 && strcmp(words[1], "syn") == 0) {
    random_state ^= (uint32_t)getpid() * 2654435761u;
    send_syns(fd, words + 2);
  } else if (count == 2 && strcmp(words[1], "send") == 0) {
    send_given(fd);
  } else {
    fprintf(stderr, "packet-load syn VIP PORT MILLISECONDS RATE | packet-load send < PACKETS\n");
    return 2;
  }
  printf("{\"sent\":%lu,\"refused\":%lu,\"ms\":%.0f}\n", sent, refused, (now() - start) * 1000);
  return 0;
}
