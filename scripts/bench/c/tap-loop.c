/* tap-loop NETNS_A IFNAME_A NETNS_B IFNAME_B: the limit of TAP, as a yardstick.
 *
 * Makes one TAP in each namespace, with vnet headers and every offload the kernel takes, and copies what it reads from
 * one to the other: one read and one write per frame, one thread, poll() when there is nothing to do. It looks at no
 * byte of a frame: no learning, no parsing, no counters. A switch can beat it only with fewer system calls.
 * Prints "ready" when both TAPs exist. Runs until it is killed. */
#define _GNU_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* linux/if_tun.h since 6.2; headers of older distributions do not have them, their kernels may. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define FRAMES_PER_TURN 64
#define VNET_HEADER_BYTES 12

static char buffer[VNET_HEADER_BYTES + 65536 + 64];

static int open_tap(const char *namespace_path, const char *ifname) {
  int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  int there = open(namespace_path, O_RDONLY | O_CLOEXEC);
  if (home < 0 || there < 0) fail_call(namespace_path);
  if (setns(there, CLONE_NEWNET) < 0) fail_call("setns");

  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) fail_call("/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  if (strlen(ifname) >= IFNAMSIZ) fail("%s: longer than an interface name may be", ifname);
  strcpy(request.ifr_name, ifname);
  if (ioctl(fd, TUNSETIFF, &request) < 0) fail_call("TUNSETIFF");
  int header_bytes = VNET_HEADER_BYTES;
  if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) < 0) fail_call("TUNSETVNETHDRSZ");
  unsigned basic = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  if (ioctl(fd, TUNSETOFFLOAD, basic | TUN_F_USO4 | TUN_F_USO6) < 0 && ioctl(fd, TUNSETOFFLOAD, basic) < 0) {
    fail_call("TUNSETOFFLOAD");
  }

  if (setns(home, CLONE_NEWNET) < 0) fail_call("setns");
  close(home);
  close(there);
  return fd;
}

int main(int argc, char **argv) {
  if (argc != 5) fail("usage: tap-loop NETNS_A IFNAME_A NETNS_B IFNAME_B");
  struct pollfd ports[2] = {
      {.fd = open_tap(argv[1], argv[2]), .events = POLLIN},
      {.fd = open_tap(argv[3], argv[4]), .events = POLLIN},
  };
  puts("ready");
  fflush(stdout);

  for (;;) {
    if (poll(ports, 2, -1) < 0 && errno != EINTR) fail_call("poll");
    for (int from = 0; from < 2; from++) {
      if (ports[from].revents & (POLLERR | POLLHUP | POLLNVAL)) fail("poll: TAP %d is gone", from);
      if (!(ports[from].revents & POLLIN)) continue;
      for (int i = 0; i < FRAMES_PER_TURN; i++) {
        ssize_t length = read(ports[from].fd, buffer, sizeof buffer);
        if (length < 0) {
          if (errno == EAGAIN || errno == EINTR) break;
          fail_call("read");
        }
        /* EIO: the other interface is not up yet. The frame is lost, as on any switch. */
        if (write(ports[1 - from].fd, buffer, (size_t)length) < 0 && errno == EBADFD) fail_call("write");
      }
    }
  }
}
