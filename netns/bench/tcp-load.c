// TCP connections and round trips, timed, and the server that answers them.
//   tcp-load serve PORT                                     sends back what it gets
//   tcp-load connect ADDRESS PORT MILLISECONDS WIDTH        connections one after the other, WIDTH at a time: each sends
//                                                           a byte and waits for its echo, so that a proxy's own
//                                                           handshake is not taken for the server's
//   tcp-load handshake ADDRESS PORT MILLISECONDS            one connection after the other, SYN to SYN-ACK; a byte is then
//                                                           echoed and the connection closed, both outside of the time
//   tcp-load echo ADDRESS PORT MILLISECONDS                 64 bytes there and back on one connection
// Prints {"count":N,"failed":N,"ms":N,"p50us":N,"p99us":N}. Sources are 198.18.0.1 to .64, so that ports in TIME_WAIT
// are no limit.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, SAMPLES_MAX = 1 << 21, SOURCES = 64, FDS_MAX = 4096 };
static const unsigned kFirstSource = 0xc6120001; // 198.18.0.1

static float samples[SAMPLES_MAX]; // microseconds
static size_t sample_count, failed;
static double started[FDS_MAX];
static struct sockaddr_in target;
static unsigned next_source;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static void take_sample(double from) {
  if (sample_count < SAMPLES_MAX) samples[sample_count++] = (float)((now() - from) * 1e6);
}

static int by_size(const void* left, const void* right) {
  const float difference = *(const float*)left - *(const float*)right;
  return (difference > 0) - (difference < 0);
}

static int report(double start) {
  const double elapsed = now() - start;
  qsort(samples, sample_count, sizeof *samples, by_size);
  const float p50 = sample_count ? samples[sample_count / 2] : 0;
  const float p99 = sample_count ? samples[sample_count * 99 / 100] : 0;
  printf("{\"count\":%zu,\"failed\":%zu,\"ms\":%.0f,\"p50us\":%.1f,\"p99us\":%.1f}\n", sample_count, failed,
         elapsed * 1000, (double)p50, (double)p99);
  return 0;
}

static void no_delay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void watch(int epoll, int operation, int fd, unsigned events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(epoll, operation, fd, &event) != 0) fail("epoll_ctl");
}

static _Noreturn void serve(int port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr*)&at, sizeof at) != 0 || listen(listener, 4096) != 0) fail("listen");
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[EVENTS];
    const int count = epoll_wait(epoll, events, EVENTS, -1);
    for (int index = 0; index < count; index++) {
      int fd = events[index].data.fd;
      if (fd == listener) {
        while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
          no_delay(fd);
          watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
        }
        continue;
      }
      char bytes[4096];
      const ssize_t size = read(fd, bytes, sizeof bytes);
      if (size > 0 ? write(fd, bytes, (size_t)size) != size : size == 0 || errno != EAGAIN) close(fd);
    }
  }
}

// A connection in the making from the next source address; -1 when that failed.
static int open_connection(int type) {
  struct sockaddr_in from = {.sin_family = AF_INET};
  from.sin_addr.s_addr = htonl(kFirstSource + next_source++ % SOURCES);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | type, 0);
  if (fd < 0 || fd >= FDS_MAX) fail("socket");
  const int on = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  no_delay(fd);
  started[fd] = now();
  if (bind(fd, (struct sockaddr*)&from, sizeof from) != 0) fail("bind");
  if (connect(fd, (struct sockaddr*)&target, sizeof target) == 0 || errno == EINPROGRESS) return fd;
  failed++;
  close(fd);
  return -1;
}

static void open_next(int epoll) {
  int fd = -1;
  for (int tries = 0; fd < 0 && tries < SOURCES; tries++) fd = open_connection(SOCK_NONBLOCK);
  if (fd < 0) fail("connect");
  watch(epoll, EPOLL_CTL_ADD, fd, EPOLLOUT);
}

static int connect_many(double seconds, int width) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const double start = now();
  for (int index = 0; index < width; index++) open_next(epoll);
  while (now() - start < seconds) {
    struct epoll_event events[EVENTS];
    const int count = epoll_wait(epoll, events, EVENTS, 100);
    for (int index = 0; index < count; index++) {
      const int fd = events[index].data.fd;
      char byte = 'x';
      if ((events[index].events & (EPOLLERR | EPOLLHUP)) == 0 && (events[index].events & EPOLLOUT) != 0) {
        if (write(fd, &byte, 1) == 1) {
          watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN);
          continue;
        }
      } else if (read(fd, &byte, 1) == 1) {
        take_sample(started[fd]);
        close(fd);
        open_next(epoll);
        continue;
      }
      failed++;
      close(fd);
      open_next(epoll);
    }
  }
  return report(start);
}

static int handshake(double seconds) {
  const double start = now();
  while (now() - start < seconds) {
    const int fd = open_connection(0);
    if (fd < 0) continue;
    take_sample(started[fd]);
    char byte = 'x';
    if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) failed++;
    close(fd);
  }
  return report(start);
}

static int echo(double seconds) {
  char bytes[64] = "echo";
  const int fd = open_connection(0);
  if (fd < 0) fail("connect");
  const double start = now();
  for (double sent = start; sent - start < seconds; sent = now()) {
    if (write(fd, bytes, sizeof bytes) != sizeof bytes) fail("write");
    if (recv(fd, bytes, sizeof bytes, MSG_WAITALL) != sizeof bytes) fail("read");
    take_sample(sent);
  }
  return report(start);
}

int main(int count, char** words) {
  if (count == 3 && strcmp(words[1], "serve") == 0) serve(atoi(words[2]));
  if (count >= 5) {
    target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[3]))};
    if (inet_pton(AF_INET, words[2], &target.sin_addr) != 1) fail("address");
    const double seconds = atof(words[4]) / 1000;
    if (count == 6 && strcmp(words[1], "connect") == 0) return connect_many(seconds, atoi(words[5]));
    if (count == 5 && strcmp(words[1], "handshake") == 0) return handshake(seconds);
    if (count == 5 && strcmp(words[1], "echo") == 0) return echo(seconds);
  }
  fprintf(stderr, "tcp-load serve PORT | connect ADDRESS PORT MS WIDTH | handshake ADDRESS PORT MS | echo ADDRESS PORT MS\n");
  return 2;
}
