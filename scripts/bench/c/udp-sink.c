/* udp-sink PORT WARMUP_SECONDS SECONDS: counts the datagrams that reach a socket.
 *
 * Prints "ready" once bound; waits at most ten seconds for the first datagram, lets the warm-up pass, counts for
 * SECONDS and prints {"received": datagrams, "seconds": s}. The socket has the system's default buffer. */
#define _GNU_SOURCE
#include "bench.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BATCH 64
#define FIRST_WITHIN_NS 10000000000u

int main(int argc, char **argv) {
  if (argc != 4) fail("usage: udp-sink PORT WARMUP_SECONDS SECONDS");
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number(argv[1], 1, 65535))};
  uint64_t warmup = seconds_ns(argv[2]), duration = seconds_ns(argv[3]);

  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail_call("socket");
  if (bind(fd, (struct sockaddr *)&here, sizeof here) < 0) fail_call("bind");
  struct timeval patience = {.tv_usec = 100000};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) fail_call("SO_RCVTIMEO");
  puts("ready");
  fflush(stdout);

  static char payloads[BATCH][2048];
  struct iovec parts[BATCH];
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){.iov_base = payloads[i], .iov_len = sizeof payloads[i]};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }

  uint64_t opened = now_ns(), first = 0, counted_from = 0, received = 0;
  for (;;) {
    int count = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    if (count < 0 && errno != EAGAIN && errno != EINTR) fail_call("recvmmsg");
    uint64_t now = now_ns();
    if (first == 0) {
      if (count > 0) first = now;
      else if (now - opened > FIRST_WITHIN_NS) fail("udp-sink: nothing arrived within ten seconds");
      continue;
    }
    if (counted_from == 0) {
      if (now - first >= warmup) counted_from = now;
      continue;
    }
    if (count > 0) received += (uint64_t)count;
    if (now - counted_from >= duration) {
      double seconds = (double)(now - counted_from) / 1e9;
      printf("{\"received\": %llu, \"seconds\": %.6f}\n", (unsigned long long)received, seconds);
      return 0;
    }
  }
}
