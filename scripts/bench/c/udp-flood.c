/* udp-flood ADDRESS PORT PAYLOAD_BYTES SECONDS: sends UDP datagrams as fast as the socket takes them.
 * Prints {"sent": datagrams, "seconds": s}. */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BATCH 64

int main(int argc, char **argv) {
  if (argc != 5) fail("usage: udp-flood ADDRESS PORT PAYLOAD_BYTES SECONDS");
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number(argv[2], 1, 65535))};
  if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) fail("%s: not an IPv4 address", argv[1]);
  size_t payload_bytes = (size_t)number(argv[3], 1, 65507);
  uint64_t duration = seconds_ns(argv[4]);

  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail_call("socket");
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail_call("connect");

  static char payload[65507];
  struct iovec part = {.iov_base = payload, .iov_len = payload_bytes};
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    messages[i].msg_hdr.msg_iov = &part;
    messages[i].msg_hdr.msg_iovlen = 1;
  }

  uint64_t sent = 0, start = now_ns(), now = start;
  while ((now = now_ns()) - start < duration) {
    int count = sendmmsg(fd, messages, BATCH, 0);
    if (count > 0) {
      sent += (uint64_t)count;
    } else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED) {
      fail_call("sendmmsg");
    }
  }
  printf("{\"sent\": %llu, \"seconds\": %.6f}\n", (unsigned long long)sent, (double)(now - start) / 1e9);
  return 0;
}
