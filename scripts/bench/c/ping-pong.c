/* ping-pong server PORT SECONDS
 * ping-pong client ADDRESS PORT WARMUP_EXCHANGES EXCHANGES SECONDS
 *
 * Round-trip times of one small UDP datagram at a time, with blocking receives on both sides: nobody spins, so a
 * sleeping switch has to be woken up every time. The client stops after EXCHANGES or SECONDS, whichever is first, and
 * prints {"exchanges": n, "lost": n, "p50": us, "p99": us, "max": us, "mean": us}, all of the whole round trip. */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#define PAYLOAD_BYTES 18
#define LOST_LIMIT 100

static int open_socket(double patience_seconds) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail_call("socket");
  struct timeval patience = {.tv_sec = (time_t)patience_seconds};
  patience.tv_usec = (suseconds_t)(patience_seconds * 1e6) % 1000000;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) fail_call("SO_RCVTIMEO");
  return fd;
}

static int serve(const char *port, uint64_t duration) {
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number(port, 1, 65535))};
  int fd = open_socket(1);
  if (bind(fd, (struct sockaddr *)&here, sizeof here) < 0) fail_call("bind");
  puts("ready");
  fflush(stdout);
  for (uint64_t start = now_ns(); now_ns() - start < duration;) {
    char payload[PAYLOAD_BYTES];
    struct sockaddr_in from;
    socklen_t from_bytes = sizeof from;
    ssize_t length = recvfrom(fd, payload, sizeof payload, 0, (struct sockaddr *)&from, &from_bytes);
    if (length > 0) sendto(fd, payload, (size_t)length, 0, (struct sockaddr *)&from, from_bytes);
  }
  return 0;
}

static int ascending(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return a < b ? -1 : a > b;
}

/* The round trip in nanoseconds, or 0 when no answer to this very question came within the socket's patience. */
static uint32_t exchange(int fd, uint32_t sequence) {
  char payload[PAYLOAD_BYTES] = {0};
  memcpy(payload, &sequence, sizeof sequence);
  uint64_t start = now_ns();
  if (send(fd, payload, sizeof payload, 0) < 0) return 0;
  for (;;) {
    uint32_t answered;
    ssize_t length = recv(fd, payload, sizeof payload, 0);
    if (length < (ssize_t)sizeof answered) return 0;
    memcpy(&answered, payload, sizeof answered);
    if (answered == sequence) return (uint32_t)(now_ns() - start);
  }
}

static int ask(char **argv) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number(argv[3], 1, 65535))};
  if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1) fail("%s: not an IPv4 address", argv[2]);
  uint32_t warmup = (uint32_t)number(argv[4], 0, 1e6), wanted = (uint32_t)number(argv[5], 1, 1e7);
  uint64_t duration = seconds_ns(argv[6]);
  int fd = open_socket(0.2);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail_call("connect");
  uint32_t *times = calloc(wanted, sizeof *times);
  if (times == NULL) fail_call("calloc");

  uint32_t count = 0, lost = 0, sequence = 0;
  double sum = 0;
  for (uint64_t start = now_ns(); count < wanted && now_ns() - start < duration; sequence++) {
    uint32_t time = exchange(fd, sequence);
    if (time == 0) {
      if (++lost > LOST_LIMIT) fail("ping-pong: %u of %u datagrams unanswered", lost, sequence + 1);
    } else if (sequence >= warmup) {
      times[count++] = time;
      sum += time;
    }
  }
  if (count == 0) fail("ping-pong: no answer (%u unanswered)", lost);
  qsort(times, count, sizeof *times, ascending);
  printf("{\"exchanges\": %u, \"lost\": %u, \"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f, \"mean\": %.3f}\n", count,
         lost, times[(uint64_t)count * 50 / 100] / 1e3, times[(uint64_t)count * 99 / 100] / 1e3, times[count - 1] / 1e3,
         sum / count / 1e3);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "server") == 0) return serve(argv[2], seconds_ns(argv[3]));
  if (argc == 7 && strcmp(argv[1], "client") == 0) return ask(argv);
  fail("usage: ping-pong server PORT SECONDS | client ADDRESS PORT WARMUP_EXCHANGES EXCHANGES SECONDS");
}
