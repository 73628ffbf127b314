// AF_PACKET sockets (a port on an interface that exists already) and UDP sockets (a tunnel end): opening them, and
// bursts over recvmmsg and sendmmsg.
// Read first: packet(7), udp(7), Documentation/networking/packet_mmap.rst for the VLAN fields of tpacket_auxdata.
#include "burst.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/udp.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

// Newer than the headers of Debian 12 (kernel 6.1).
#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif

#define SOCKET_BUFFER_BYTES (4 << 20)
#define RECEIVE_MESSAGES 16
#define TRANSMIT_MESSAGES 64
#define TAG_BYTES 4

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

union any_address {
  struct sockaddr base;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

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

static int prepare_udp(int fd, union any_address *address, const char *scope, int flags) {
  bool v6 = address->base.sa_family == AF_INET6;
  int answer = 0;
  if (v6) answer = enable(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (answer == 0 && scope != NULL) {
    int index = interface_index(fd, scope);
    if (index < 0) return index;
    address->v6.sin6_scope_id = (uint32_t)index;
  }
  if (answer == 0 && flags & UDP_COALESCED) answer = enable(fd, SOL_UDP, UDP_GRO, 1);
  if (answer == 0 && flags & UDP_REUSE) answer = enable(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (answer < 0) return answer;
  enlarge_buffers(fd);
  return bind(fd, &address->base, v6 ? sizeof address->v6 : sizeof address->v4) == 0 ? 0 : -errno;
}

// #syscalls: socket setsockopt ioctl bind close setns openat
int open_udp(struct call *call) {
  int ns_fd, port, flags;
  char text[INET6_ADDRSTRLEN + IFNAMSIZ], *scope;
  union any_address address;
  if (!take_int(call, 0, NO_NAMESPACE, INT32_MAX, &ns_fd) || !take_string(call, 1, text, sizeof text) ||
      !take_int(call, 2, 0, 65535, &port) || !take_int(call, 3, 0, UDP_COALESCED | UDP_REUSE, &flags) ||
      !parse_address(text, port, &address, &scope)) {
    return -EINVAL;
  }
  int fd = socket_in(ns_fd, address.base.sa_family, SOCK_DGRAM);
  if (fd < 0) return fd;
  int answer = prepare_udp(fd, &address, scope, flags);
  if (answer == 0) return own(fd, OWNED_UDP);
  close(fd);
  return answer;
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

static void store_peer(struct peer *row, const union any_address *from, int segment_bytes) {
  *row = (struct peer){.segment_bytes = (uint16_t)segment_bytes};
  if (from->base.sa_family == AF_INET) {
    row->family = PEER_IPV4;
    row->port = ntohs(from->v4.sin_port);
    memcpy(row->address, &from->v4.sin_addr, 4);
  } else if (from->base.sa_family == AF_INET6) {
    row->family = PEER_IPV6;
    row->port = ntohs(from->v6.sin6_port);
    row->scope = from->v6.sin6_scope_id;
    memcpy(row->address, &from->v6.sin6_addr, 16);
  }
}

static socklen_t load_peer(const struct peer *row, union any_address *to) {
  *to = (union any_address){0};
  if (row->family == PEER_IPV4) {
    to->v4.sin_family = AF_INET;
    to->v4.sin_port = htons(row->port);
    memcpy(&to->v4.sin_addr, row->address, 4);
    return sizeof to->v4;
  }
  if (row->family != PEER_IPV6) return 0;
  to->v6.sin6_family = AF_INET6;
  to->v6.sin6_port = htons(row->port);
  to->v6.sin6_scope_id = row->scope;
  memcpy(&to->v6.sin6_addr, row->address, 16);
  return sizeof to->v6;
}

// The kernel takes the 802.1Q tag out of a frame on its way to an AF_PACKET socket. Puts it back where it was: the MAC
// addresses (and the vnet header before them) move four bytes down. Returns the new start of the frame.
static int64_t restore_tag(uint8_t *slab, int64_t start, int header, const struct tpacket_auxdata *aux) {
  uint16_t tpid = aux->tp_status & TP_STATUS_VLAN_TPID_VALID ? aux->tp_vlan_tpid : ETH_P_8021Q;
  uint16_t tag[] = {htons(tpid), htons(aux->tp_vlan_tci)};
  uint8_t *frame = slab + start - TAG_BYTES;
  memmove(frame - header, slab + start - header, (size_t)header + 2 * ETH_ALEN);
  memcpy(frame + 2 * ETH_ALEN, tag, TAG_BYTES);
  if (header >= (int)sizeof(struct virtio_net_hdr)) { // its offsets count from the first byte of the frame
    struct virtio_net_hdr vnet;
    memcpy(&vnet, frame - header, sizeof vnet);
    if (vnet.hdr_len != 0) vnet.hdr_len += TAG_BYTES;
    if (vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) vnet.csum_start += TAG_BYTES;
    memcpy(frame - header, &vnet, sizeof vnet);
  }
  return start - TAG_BYTES;
}

// One control message of a received message, or NULL.
static const void *control_data(struct msghdr *message, int level, int type, size_t bytes) {
  for (struct cmsghdr *each = CMSG_FIRSTHDR(message); each != NULL; each = CMSG_NXTHDR(message, each)) {
    if (each->cmsg_level == level && each->cmsg_type == type && each->cmsg_len >= CMSG_LEN(bytes)) {
      return CMSG_DATA(each);
    }
  }
  return NULL;
}

struct inbox {
  struct mmsghdr messages[RECEIVE_MESSAGES];
  struct iovec parts[RECEIVE_MESSAGES];
  union any_address from[RECEIVE_MESSAGES];
  int64_t starts[RECEIVE_MESSAGES];
  _Alignas(struct cmsghdr) char control[RECEIVE_MESSAGES][CMSG_SPACE(sizeof(struct tpacket_auxdata))];
};

// Lays out as many receive slots as fit; a frame can be 64 KiB, so a slot has room for that.
static int lay_out(const struct weft *state, const struct port *port, struct inbox *inbox, int most, int headroom,
                   int64_t at, int64_t end) {
  int slots = 0;
  for (; slots < most && slots < RECEIVE_MESSAGES; slots++) {
    int64_t start = frame_start(at, headroom);
    if (start + FRAME_ROOM > end) break;
    inbox->starts[slots] = start;
    inbox->parts[slots] = (struct iovec){state->slab + start - port->header_bytes,
                                         (size_t)port->header_bytes + FRAME_ROOM};
    inbox->messages[slots].msg_hdr = (struct msghdr){
        .msg_name = port->kind == PORT_UDP ? &inbox->from[slots] : NULL,
        .msg_namelen = port->kind == PORT_UDP ? sizeof inbox->from[slots] : 0,
        .msg_iov = &inbox->parts[slots],
        .msg_iovlen = 1,
        .msg_control = inbox->control[slots],
        .msg_controllen = sizeof inbox->control[slots],
    };
    at = start + FRAME_ROOM;
  }
  return slots;
}

// Packs received message `slot` behind `at` and fills its row. Returns the end of the frame, or -1: not a frame.
static int64_t settle(struct weft *state, const struct port *port, struct inbox *inbox, int slot, int row, int headroom,
                      int64_t at) {
  struct msghdr *message = &inbox->messages[slot].msg_hdr;
  int64_t length = (int64_t)inbox->messages[slot].msg_len - port->header_bytes;
  int64_t start = inbox->starts[slot], packed = frame_start(at, headroom);
  if (length < 0 || message->msg_flags & MSG_TRUNC) return -1;
  if (start - packed > length) { // moved only where it would leave a gap larger than itself: super-frames mostly stay
    memmove(state->slab + packed - port->header_bytes, state->slab + start - port->header_bytes,
            (size_t)(length + port->header_bytes));
    start = packed;
  }
  int64_t end = start + length;
  if (port->kind == PORT_PACKET) {
    struct tpacket_auxdata aux;
    const void *data = control_data(message, SOL_PACKET, PACKET_AUXDATA, sizeof aux);
    if (data != NULL) memcpy(&aux, data, sizeof aux);
    if (data != NULL && aux.tp_status & TP_STATUS_VLAN_VALID && length >= 2 * ETH_ALEN) {
      start = restore_tag(state->slab, start, port->header_bytes, &aux);
    }
  } else {
    int segment_bytes = 0;
    const void *data = control_data(message, SOL_UDP, UDP_GRO, sizeof segment_bytes);
    if (data != NULL) memcpy(&segment_bytes, data, sizeof segment_bytes);
    store_peer(&state->rx_peer[row], &inbox->from[slot], segment_bytes);
  }
  state->rx_start[row] = (int32_t)start;
  state->rx_length[row] = (int32_t)(end - start);
  return end;
}

// #syscalls: recvmmsg
int receive_messages(struct weft *state, const struct port *port, int row, int most, int64_t at, int64_t end) {
  struct inbox inbox;
  const int headroom = FRAME_HEADROOM + (port->kind == PORT_PACKET ? TAG_BYTES : 0);
  int frames = 0;
  for (int attempts = 0; attempts < most;) {
    int slots = lay_out(state, port, &inbox, most - attempts, headroom, at, end);
    if (slots == 0) break;
    int count = recvmmsg(port->fd, inbox.messages, (unsigned int)slots, 0, NULL);
    if (count < 0) {
      if (frames > 0 || errno == EAGAIN || errno == EINTR) break;
      return -errno;
    }
    for (int slot = 0; slot < count; slot++) {
      int64_t frame_end = settle(state, port, &inbox, slot, row + frames, headroom, at);
      if (frame_end < 0) continue;
      at = frame_end;
      frames++;
    }
    attempts += count;
    if (count < slots) break; // drained
  }
  return frames;
}

struct outbox {
  struct mmsghdr messages[TRANSMIT_MESSAGES];
  struct iovec parts[TRANSMIT_MESSAGES][2];
  union any_address to[TRANSMIT_MESSAGES];
  _Alignas(struct cmsghdr) char control[TRANSMIT_MESSAGES][CMSG_SPACE(sizeof(uint16_t))];
};

static void fill_message(struct outbox *outbox, int slot, const struct departure *departure, const struct peer *peer) {
  struct msghdr *message = &outbox->messages[slot].msg_hdr;
  struct iovec *parts = outbox->parts[slot];
  memcpy(parts, departure->parts, sizeof departure->parts);
  bool headless = parts[0].iov_len == 0;
  *message = (struct msghdr){.msg_iov = headless ? &parts[1] : parts, .msg_iovlen = headless ? 1 : 2};
  if (peer == NULL) return;
  message->msg_namelen = load_peer(peer, &outbox->to[slot]);
  if (message->msg_namelen > 0) message->msg_name = &outbox->to[slot];
  if (peer->segment_bytes == 0) return;
  message->msg_control = outbox->control[slot];
  message->msg_controllen = sizeof outbox->control[slot];
  struct cmsghdr *segment = CMSG_FIRSTHDR(message);
  *segment = (struct cmsghdr){.cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(uint16_t))};
  memcpy(CMSG_DATA(segment), &peer->segment_bytes, sizeof(uint16_t));
}

// Fills the outbox with the rows from `first` on that belong to that port. Returns how many they are.
static int collect(const struct weft *state, const struct port *port, struct outbox *outbox, int first, int end) {
  int count = 0;
  for (; count < TRANSMIT_MESSAGES && first + count < end; count++) {
    struct departure departure;
    struct peer peer;
    if (load_departure(state, first + count, &departure) < 0 || departure.port != port) break;
    bool udp = port->kind == PORT_UDP;
    if (udp) peer = state->tx_peer[first + count];
    fill_message(outbox, count, &departure, udp ? &peer : NULL);
  }
  return count;
}

// #syscalls: sendmmsg
int transmit_messages(struct weft *state, const struct port *port, int first, int end, int *sent) {
  struct outbox outbox;
  const int count = collect(state, port, &outbox, first, end);
  int32_t *result = state->tx_result + first;
  if (count == 0) { // another thread changed the row since the caller looked
    result[0] = -EINVAL;
    return 1;
  }
  for (int row = 0; row < count;) {
    int done = sendmmsg(port->fd, outbox.messages + row, (unsigned int)(count - row), 0);
    if (done > 0) {
      *sent += done;
      for (int i = 0; i < done; i++) result[row++] = 0; // one that failed behind these is tried again and says why
      continue;
    }
    int error = done < 0 ? -errno : -EIO;
    result[row++] = error;
    while (error == -EAGAIN && row < count) result[row++] = error; // the socket is full: so it is for the rest
  }
  return count;
}
