// Opening sockets: AF_PACKET (a port on an interface that exists already), UDP (a tunnel end), listeners for servers of Node.js.
// What is then moved through them: messages.c.
// Read first: packet(7), udp(7), ip(7), ipv6(7).
#include "address.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/udp.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

// Newer than the headers of Debian 12 (kernel 6.1).
#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

#define SOCKET_BUFFER_BYTES (4 << 20)
#define UDP_FLAGS (UDP_COALESCED | UDP_REUSE | UDP_DEAF | UDP_DONT_FRAGMENT | UDP_ZERO_CHECKSUM)

static int enable(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0 ? 0 : -errno;
}

static void enlarge_buffers(int fd) { // best effort: above the system's limit only with CAP_NET_ADMIN
  enable(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES);
  enable(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES);
}

static int socket_in(int ns_fd, int family, int type) {
  int token = namespace_visit(ns_fd);
  if (token < 0) return token;
  int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); // AF_PACKET: protocol 0 hears nothing before bind
  int error = errno;
  namespace_leave(token);
  return fd < 0 ? -error : fd;
}

static int prepare_packet(int fd, const char *name, int flags) {
  int index = interface_index(fd, name);
  if (index < 0) return index;
  int answer = enable(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
  if (answer == 0) answer = enable(fd, SOL_PACKET, PACKET_AUXDATA, 1); // a received VLAN tag comes beside the frame
  if (answer == 0 && flags & PACKET_VNET_HEADER &&
      enable(fd, SOL_PACKET, PACKET_VNET_HDR_SZ, sizeof(struct virtio_net_hdr_mrg_rxbuf)) != 0) {
    answer = enable(fd, SOL_PACKET, PACKET_VNET_HDR, 1); // before Linux 6.5: 10 bytes, without num_buffers
  }
  if (answer == 0 && flags & PACKET_PROMISCUOUS) {
    struct packet_mreq member = {.mr_ifindex = index, .mr_type = PACKET_MR_PROMISC};
    if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &member, sizeof member) != 0) answer = -errno;
  }
  if (answer < 0) return answer;
  enlarge_buffers(fd);
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = index};
  return bind(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : -errno;
}

// #syscalls: socket setsockopt ioctl bind close setns openat
int open_packet(struct call *call) {
  int ns_fd, flags;
  char name[IFNAMSIZ];
  if (!take_int(call, 0, NO_NAMESPACE, INT32_MAX, &ns_fd) || !take_string(call, 1, name, sizeof name) ||
      !take_int(call, 2, 0, PACKET_VNET_HEADER | PACKET_PROMISCUOUS, &flags)) {
    return -EINVAL;
  }
  int fd = socket_in(ns_fd, AF_PACKET, SOCK_RAW);
  if (fd < 0) return fd;
  int answer = prepare_packet(fd, name, flags);
  if (answer == 0) return own(fd, OWNED_PACKET);
  close(fd);
  return answer;
}

// #syscalls: getsockopt
int packet_header_bytes(struct call *call) {
  int fd, value = 0;
  socklen_t length = sizeof value;
  int answer = take_owned(call, 0, OWNED_PACKET, &fd);
  if (answer < 0) return answer;
  if (getsockopt(fd, SOL_PACKET, PACKET_VNET_HDR_SZ, &value, &length) == 0) return value;
  if (getsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &value, &length) != 0) return -errno;
  return value != 0 ? (int)sizeof(struct virtio_net_hdr) : 0;
}

// "192.0.2.1", "2001:db8::1" or "fe80::1%eth0" -> address; the scope is looked up later, in the socket's namespace.
static bool parse_address(char *text, int port, union any_address *out, char **scope) {
  *scope = strchr(text, '%');
  if (*scope != NULL) *(*scope)++ = '\0';
  *out = (union any_address){0};
  if (*scope == NULL && inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons((uint16_t)port);
    return true;
  }
  if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) != 1) return false;
  out->v6.sin6_family = AF_INET6;
  out->v6.sin6_port = htons((uint16_t)port);
  return true;
}

// The kernel throws away what comes in, before it takes room in the socket.
static int deafen(int fd) {
  struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  struct sock_fprog program = {.len = 1, .filter = &nothing};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? 0 : -errno;
}

// DF on everything. PROBE believes the interface and not what ICMP says, so that a forged "packet too big" cannot cut a tunnel off.
static int forbid_fragments(int fd, bool v6) {
  if (!v6) return enable(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  int answer = enable(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
  return answer == 0 ? enable(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1) : answer;
}

// What a socket that receives is told of its datagrams, and which it gets.
static int prepare_receiver(int fd, bool v6, int flags) {
  int answer = v6 ? enable(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) : enable(fd, IPPROTO_IP, IP_RECVTOS, 1);
  if (answer == 0 && flags & UDP_COALESCED) {
    answer = enable(fd, SOL_UDP, UDP_GRO, 1);
    if (answer == -ENOPROTOOPT) answer = 0; // before Linux 5.0: one by one
  }
  if (answer == 0 && v6 && flags & UDP_ZERO_CHECKSUM) answer = enable(fd, SOL_UDP, UDP_NO_CHECK6_RX, 1);
  // Else a socket hears every group that any program of the namespace joined.
  if (v6) enable(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0); // before Linux 4.20 that cannot be chosen
  if (answer == 0 && !v6) answer = enable(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
  return answer;
}

static int prepare_udp(int fd, union any_address *address, const char *scope, const char *device, int flags) {
  bool v6 = address->base.sa_family == AF_INET6;
  int answer = 0;
  if (v6) answer = enable(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (answer == 0 && scope != NULL) {
    int index = interface_index(fd, scope);
    if (index < 0) return index;
    address->v6.sin6_scope_id = (uint32_t)index;
  }
  if (answer == 0 && device[0] != '\0' &&
      setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) != 0) {
    answer = -errno;
  }
  if (answer == 0) answer = flags & UDP_DEAF ? deafen(fd) : prepare_receiver(fd, v6, flags);
  if (answer == 0 && flags & UDP_DONT_FRAGMENT) answer = forbid_fragments(fd, v6);
  if (answer == 0 && flags & UDP_REUSE) answer = enable(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (answer < 0) return answer;
  enlarge_buffers(fd);
  return bind(fd, &address->base, v6 ? sizeof address->v6 : sizeof address->v4) == 0 ? 0 : -errno;
}

// #syscalls: socket setsockopt ioctl bind close setns openat
int open_udp(struct call *call) {
  int ns_fd, port, flags;
  char text[INET6_ADDRSTRLEN + IFNAMSIZ], device[IFNAMSIZ] = "", *scope;
  union any_address address;
  if (!take_int(call, 0, NO_NAMESPACE, INT32_MAX, &ns_fd) || !take_string(call, 1, text, sizeof text) ||
      !take_int(call, 2, 0, 65535, &port) || !take_int(call, 3, 0, UDP_FLAGS, &flags) ||
      !parse_address(text, port, &address, &scope)) {
    return -EINVAL;
  }
  if (!is_missing(call, 4) && !take_string(call, 4, device, sizeof device)) return -EINVAL;
  int fd = socket_in(ns_fd, address.base.sa_family, SOCK_DGRAM);
  if (fd < 0) return fd;
  int answer = prepare_udp(fd, &address, scope, device, flags);
  if (answer == 0) return own(fd, OWNED_UDP);
  close(fd);
  return answer;
}

// #syscalls: getsockname
int udp_port(struct call *call) {
  int fd;
  int answer = take_owned(call, 0, OWNED_UDP, &fd);
  if (answer < 0) return answer;
  union any_address address = {0};
  socklen_t length = sizeof address;
  if (getsockname(fd, &address.base, &length) != 0) return -errno;
  return ntohs(address.base.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static int family_of(int fd) {
  int family = 0;
  socklen_t length = sizeof family;
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length) == 0 ? family : -errno;
}

// Index of the interface that argument `index` names, 0 for an empty name, or -errno.
static int take_optional_interface(struct call *call, int index, int fd) {
  char name[IFNAMSIZ];
  if (!take_string(call, index, name, sizeof name)) return -EINVAL;
  return name[0] == '\0' ? 0 : interface_index(fd, name);
}

static int change_group(struct call *call, int option) {
  int fd;
  char text[INET6_ADDRSTRLEN], *scope;
  union any_address group;
  int answer = take_owned(call, 0, OWNED_UDP, &fd);
  if (answer < 0) return answer;
  if (!take_string(call, 1, text, sizeof text) || !parse_address(text, 0, &group, &scope) || scope != NULL ||
      group.base.sa_family != family_of(fd)) {
    return -EINVAL;
  }
  int device = take_optional_interface(call, 2, fd);
  if (device < 0) return device;
  struct group_req request = {.gr_interface = (uint32_t)device};
  memcpy(&request.gr_group, &group, sizeof group);
  int level = group.base.sa_family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
  return setsockopt(fd, level, option, &request, sizeof request) == 0 ? 0 : -errno;
}

// #syscalls: setsockopt getsockopt ioctl
int join_group(struct call *call) {
  return change_group(call, MCAST_JOIN_GROUP);
}

// #syscalls: setsockopt getsockopt ioctl
int leave_group(struct call *call) {
  return change_group(call, MCAST_LEAVE_GROUP);
}

// #syscalls: setsockopt getsockopt ioctl
int set_multicast(struct call *call) {
  int fd, hops;
  int answer = take_owned(call, 0, OWNED_UDP, &fd);
  if (answer < 0) return answer;
  if (!take_int(call, 2, 1, 255, &hops)) return -EINVAL;
  int device = take_optional_interface(call, 1, fd);
  if (device < 0) return device;
  if (family_of(fd) == AF_INET6) {
    answer = enable(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, device);
    if (answer == 0) answer = enable(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops);
    return answer == 0 ? enable(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0) : answer;
  }
  struct ip_mreqn interface = {.imr_ifindex = device};
  if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof interface) != 0) return -errno;
  answer = enable(fd, IPPROTO_IP, IP_MULTICAST_TTL, hops);
  return answer == 0 ? enable(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0) : answer;
}

static int prepare_listener(int fd, int kind, const union any_address *address, const char *device) {
  bool v6 = address->base.sa_family == AF_INET6;
  int answer = v6 ? enable(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) : 0;
  // Bound to the device, networks with the same addresses do not meet: what comes in elsewhere is not for this socket, and
  // what it sends leaves there.
  if (answer == 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) != 0) answer = -errno;
  // Connections of an earlier listener linger.
  if (answer == 0 && kind == LISTEN_TCP) answer = enable(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (answer < 0) return answer;
  if (kind == LISTEN_UDP) enlarge_buffers(fd); // what a server does not take at once waits for it
  return bind(fd, &address->base, v6 ? sizeof address->v6 : sizeof address->v4) == 0 ? 0 : -errno;
}

// #syscalls: socket setsockopt bind close setns openat
int open_listener(struct call *call) {
  int ns_fd, kind, port;
  char text[INET6_ADDRSTRLEN + IFNAMSIZ], device[IFNAMSIZ], *scope;
  union any_address address;
  if (!take_int(call, 0, NO_NAMESPACE, INT32_MAX, &ns_fd) || !take_int(call, 1, LISTEN_UDP, LISTEN_TCP, &kind) ||
      !take_string(call, 2, text, sizeof text) || !take_int(call, 3, 0, 65535, &port) ||
      !take_string(call, 4, device, sizeof device) || device[0] == '\0' ||
      !parse_address(text, port, &address, &scope) || scope != NULL) {
    return -EINVAL;
  }
  int fd = socket_in(ns_fd, address.base.sa_family, kind == LISTEN_UDP ? SOCK_DGRAM : SOCK_STREAM);
  if (fd < 0) return fd;
  int answer = prepare_listener(fd, kind, &address, device);
  if (answer == 0) return own(fd, OWNED_LISTENER);
  close(fd);
  return answer;
}
