// Whether anybody reads a pipe any more: what the next write would tell, without a write. Read first: poll(2), pipe(7).
#include "weft.h"

#include <poll.h>

// 1, or 0 when the reading ends of a pipe or the peer of a socket are gone. Never waits. Any descriptor may be asked about.
// #syscalls: poll
int has_reader(struct call *call) {
  int fd;
  if (!take_int(call, 0, 0, INT32_MAX, &fd)) return -EINVAL;
  struct pollfd asked = {.fd = fd, .events = 0}; // POLLERR and POLLHUP are always reported
  if (poll(&asked, 1, 0) < 0) return -errno;
  if (asked.revents & POLLNVAL) return -EBADF;
  return (asked.revents & (POLLERR | POLLHUP)) == 0;
}
