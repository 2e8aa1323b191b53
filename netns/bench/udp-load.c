// 64-byte UDP datagrams, as many as go or at a steady rate, and the sink that counts what arrives.
//   udp-load send ADDRESS PORT MILLISECONDS RATE FLOWS   RATE in datagrams a second, 0: flood; prints {"sent":N,"ms":N}
//   udp-load sink PORT                                   answers each line of its input with {"received":N}
// One thread each. The sender takes CPU 0, so that runs are alike; a socket is a flow, a batch belongs to one flow.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, SIZE = 64, FLOWS_MAX = 256, SINK_BUFFER = 8 << 20 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static struct mmsghdr messages[BATCH];
static struct iovec vectors[BATCH];
static char payload[BATCH][SIZE];

static void prepare(void) {
  for (int index = 0; index < BATCH; index++) {
    vectors[index] = (struct iovec){payload[index], SIZE};
    messages[index].msg_hdr.msg_iov = &vectors[index];
    messages[index].msg_hdr.msg_iovlen = 1;
  }
}

static int open_flow(const struct sockaddr_in* to) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr*)to, sizeof *to) != 0) fail("socket");
  return fd;
}

// How many may go now: all that the rate owes by this time, at most a batch; sleeps while less than a quarter is owed.
static int due(double start, double rate, unsigned long sent) {
  if (rate == 0) return BATCH;
  for (;;) {
    const double owed = (now() - start) * rate - (double)sent;
    if (owed >= BATCH) return BATCH;
    if (owed >= BATCH / 4) return (int)owed;
    const struct timespec nap = {0, (long)(BATCH / 2 / rate * 1e9) % 1000000000};
    nanosleep(&nap, NULL);
  }
}

static int send_datagrams(char** words) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[1]))};
  if (inet_pton(AF_INET, words[0], &to.sin_addr) != 1) fail("address");
  const double seconds = atof(words[2]) / 1000, rate = atof(words[3]);
  const int flows = atoi(words[4]);
  if (flows < 1 || flows > FLOWS_MAX) fail("flows");
  int fds[FLOWS_MAX];
  for (int index = 0; index < flows; index++) fds[index] = open_flow(&to);
  cpu_set_t first;
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  sched_setaffinity(0, sizeof first, &first);
  prctl(PR_SET_TIMERSLACK, 1);
  const double start = now();
  unsigned long sent = 0;
  for (unsigned turn = 0; now() - start < seconds; turn++) {
    const int count = sendmmsg(fds[turn % (unsigned)flows], messages, (unsigned)due(start, rate, sent), 0);
    if (count > 0) sent += (unsigned long)count; // ECONNREFUSED and ENOBUFS count as not sent
  }
  printf("{\"sent\":%lu,\"ms\":%.0f}\n", sent, (now() - start) * 1000);
  return 0;
}

static int count_datagrams(char** words) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[0]))};
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int buffer = SINK_BUFFER;
  if (fd < 0 || bind(fd, (struct sockaddr*)&at, sizeof at) != 0) fail("bind");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  unsigned long received = 0;
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    struct pollfd ready[2] = {{fd, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (poll(ready, 2, -1) < 0) fail("poll");
    for (int count; (count = recvmmsg(fd, messages, BATCH, 0, NULL)) > 0;) received += (unsigned long)count;
    if (ready[1].revents == 0) continue;
    char line[64];
    if (read(STDIN_FILENO, line, sizeof line) <= 0) return 0;
    printf("{\"received\":%lu}\n", received);
    fflush(stdout);
  }
}

int main(int count, char** words) {
  prepare();
  if (count == 7 && strcmp(words[1], "send") == 0) return send_datagrams(words + 2);
  if (count == 3 && strcmp(words[1], "sink") == 0) return count_datagrams(words + 2);
  fprintf(stderr, "udp-load send ADDRESS PORT MILLISECONDS RATE FLOWS | udp-load sink PORT\n");
  return 2;
}
