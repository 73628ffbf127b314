// TAP devices: opening one inside a given namespace, offloads, carrier, persistence, identity, reported speed.
// Heads up: an open tun descriptor pins the namespace of its opener, so openTap opens it in the device's own namespace.
// Read first: Documentation/networking/tuntap.rst, drivers/net/tun.c.
#include "weft.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <sys/ioctl.h>
#include <unistd.h>

// Newer than the headers of Debian 12 (kernel 6.1).
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef TUN_F_UDP_TUNNEL_GSO
#define TUN_F_UDP_TUNNEL_GSO 0x80
#define TUN_F_UDP_TUNNEL_GSO_CSUM 0x100
#endif

static bool take_interface(struct call *call, int index, char name[IFNAMSIZ]) {
  return take_string(call, index, name, IFNAMSIZ) && name[0] != '\0';
}

// The vnet header is 12 bytes (with num_buffers; 24 with the fields of tunnels) and little-endian on every machine.
static bool set_header_format(int fd, int bytes) {
  int yes = 1;
  return ioctl(fd, TUNSETVNETHDRSZ, &bytes) == 0 && ioctl(fd, TUNSETVNETLE, &yes) == 0;
}

// A new device begins with a carrier that no event announced, and its operstate would stay UNKNOWN instead of UP.
static void announce_carrier(int fd) {
  for (int on = 0; on <= 1; on++) ioctl(fd, TUNSETCARRIER, &on); // fails before Linux 5.0, where nothing can be done
}

static int attach(int fd, int control, const char *name, int flags) {
  struct ifreq request = {0};
  int features = IFF_TAP | IFF_NO_PI;
  if (flags & TAP_VNET_HEADER) features |= IFF_VNET_HDR;
  if (flags & TAP_MULTI_QUEUE) features |= IFF_MULTI_QUEUE;
  if (flags & TAP_EXCLUSIVE) features |= IFF_TUN_EXCL;
  const int before = interface_index(control, name);
  if (flags & TAP_EXISTING && before < 0) return before;
  strcpy(request.ifr_name, name);
  request.ifr_flags = (short)features;
  if (ioctl(fd, TUNSETIFF, &request) != 0) return errno == EBUSY && flags & TAP_EXCLUSIVE ? -EEXIST : -errno;
  // The device may have gone between the two calls, and then TUNSETIFF made a new one. Closing removes that.
  if (flags & TAP_EXISTING && interface_index(control, request.ifr_name) != before) return -ENODEV;
  if (flags & TAP_VNET_HEADER && !set_header_format(fd, VNET_HEADER_BYTES)) return -errno;
  if (flags & TAP_PERSIST && ioctl(fd, TUNSETPERSIST, 1) != 0) return -errno;
  if (before < 0) announce_carrier(fd);
  return 0;
}

// #syscalls: openat ioctl close setns socket
int open_tap(struct call *call) {
  int ns_fd, flags;
  char name[IFNAMSIZ];
  if (!take_int(call, 0, NO_NAMESPACE, INT32_MAX, &ns_fd) || !take_interface(call, 1, name) ||
      !take_int(call, 2, 0, 31, &flags)) {
    return -EINVAL;
  }
  if (flags & TAP_EXISTING && (flags & TAP_EXCLUSIVE || strchr(name, '%') != NULL)) return -EINVAL;
  int token = namespace_visit(ns_fd);
  if (token < 0) return token;
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  int answer = fd < 0 ? -errno : 0;
  int control = control_socket(NO_NAMESPACE);
  namespace_leave(token); // both descriptors remember the namespace: the rest works from here
  if (answer == 0) answer = control < 0 ? control : attach(fd, control, name, flags);
  if (control >= 0) close(control);
  if (answer == 0) return own(fd, OWNED_TAP);
  if (fd >= 0) close(fd);
  return answer;
}

// #syscalls: ioctl
int probe_tap_offloads(struct call *call) {
  // Checksum offload is the condition of all the others; USO4 and USO6 are accepted only together (Linux 6.2), super-frames in
  // tunnels only with some outside of them (Linux 6.17).
  static const unsigned int STEPS[] = {TUN_F_CSUM,    TUN_F_TSO4,
                                       TUN_F_TSO6,    TUN_F_TSO_ECN,
                                       TUN_F_USO4 | TUN_F_USO6, TUN_F_UDP_TUNNEL_GSO,
                                       TUN_F_UDP_TUNNEL_GSO_CSUM};
  int fd, wanted;
  struct ifreq request = {0};
  if (!take_int(call, 1, 0, 0x1ff, &wanted)) return -EINVAL;
  int answer = take_owned(call, 0, OWNED_TAP, &fd);
  if (answer < 0) return answer;
  if (ioctl(fd, TUNGETIFF, &request) != 0) return -errno;
  if (!(request.ifr_flags & IFF_VNET_HDR)) return -EINVAL; // super-frames that nothing would describe
  unsigned int accepted = 0;
  for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
    unsigned int step = STEPS[i];
    if (((unsigned int)wanted & step) != step) continue;
    if (!(accepted & TUN_F_CSUM) && step != TUN_F_CSUM) continue;
    if (step == TUN_F_TSO_ECN && !(accepted & (TUN_F_TSO4 | TUN_F_TSO6))) continue;
    if (step == TUN_F_UDP_TUNNEL_GSO && !(accepted & ~(unsigned int)TUN_F_CSUM)) continue;
    if (step == TUN_F_UDP_TUNNEL_GSO_CSUM && !(accepted & TUN_F_UDP_TUNNEL_GSO)) continue;
    if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)(accepted | step)) == 0) accepted |= step;
  }
  if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)accepted) != 0) return -errno;
  int header_bytes = accepted & TUN_F_UDP_TUNNEL_GSO ? TUNNEL_HEADER_BYTES : VNET_HEADER_BYTES;
  return set_header_format(fd, header_bytes) ? (int)accepted : -errno;
}

// #syscalls: ioctl
int set_tap_carrier(struct call *call) {
  int fd, on;
  if (!take_int(call, 1, 0, 1, &on)) return -EINVAL;
  int answer = take_owned(call, 0, OWNED_TAP, &fd);
  if (answer < 0) return answer;
  return ioctl(fd, TUNSETCARRIER, &on) == 0 ? 0 : -errno;
}

// #syscalls: ioctl
int set_tap_persist(struct call *call) {
  int fd, on;
  if (!take_int(call, 1, 0, 1, &on)) return -EINVAL;
  int answer = take_owned(call, 0, OWNED_TAP, &fd);
  if (answer < 0) return answer;
  return ioctl(fd, TUNSETPERSIST, on) == 0 ? 0 : -errno;
}

// #syscalls: ioctl
int tap_name(struct call *call) {
  int fd;
  struct ifreq request = {0};
  int answer = take_owned(call, 0, OWNED_TAP, &fd);
  if (answer < 0) return answer;
  if (ioctl(fd, TUNGETIFF, &request) != 0) return -errno;
  size_t bytes = strnlen(request.ifr_name, IFNAMSIZ);
  return napi_create_string_utf8(call->env, request.ifr_name, bytes, &call->result) == napi_ok ? 0 : -ENOMEM;
}

// #syscalls: ioctl
int tap_namespace(struct call *call) {
  int fd;
  int answer = take_owned(call, 0, OWNED_TAP, &fd);
  if (answer < 0) return answer;
  return own(ioctl(fd, TUNGETDEVNETNS, 0), OWNED_NAMESPACE);
}

// #syscalls: ioctl close socket setns
int set_link_speed(struct call *call) {
  int ns_fd, mbps;
  char name[IFNAMSIZ];
  if (!take_int(call, 0, NO_NAMESPACE, INT32_MAX, &ns_fd) || !take_interface(call, 1, name) ||
      !take_int(call, 2, 0, INT32_MAX, &mbps)) {
    return -EINVAL;
  }
  struct {
    struct ethtool_link_settings base;
    uint32_t masks[3 * 127]; // the kernel says how many words its masks have, at most 127 each
  } settings = {0};
  struct ifreq request = {.ifr_data = (void *)&settings};
  strcpy(request.ifr_name, name);
  int control = control_socket(ns_fd);
  if (control < 0) return control;
  int answer = 0;
  settings.base.cmd = ETHTOOL_GLINKSETTINGS; // first call: a negative count of words, the second: everything
  if (ioctl(control, SIOCETHTOOL, &request) != 0) answer = -errno;
  settings.base.cmd = ETHTOOL_GLINKSETTINGS;
  settings.base.link_mode_masks_nwords = (int8_t)-settings.base.link_mode_masks_nwords;
  if (answer == 0 && ioctl(control, SIOCETHTOOL, &request) != 0) answer = -errno;
  settings.base.cmd = ETHTOOL_SLINKSETTINGS;
  settings.base.speed = (uint32_t)mbps;
  settings.base.duplex = DUPLEX_FULL;
  if (answer == 0 && ioctl(control, SIOCETHTOOL, &request) != 0) answer = -errno;
  close(control);
  return answer;
}
