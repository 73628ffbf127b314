// Bursts over sockets: many messages per system call (recvmmsg, sendmmsg), the peers of UDP sockets, datagrams that the kernel
// joins and cuts apart (UDP_GRO, UDP_SEGMENT), messages in several pieces.
// Read first: udp(7), cmsg(3), Documentation/networking/packet_mmap.rst for the VLAN fields of tpacket_auxdata.
#include "address.h"
#include "burst.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/udp.h>
#include <linux/virtio_net.h>
#include <sys/socket.h>

#ifndef SOL_UDP
#define SOL_UDP 17
#endif

#define RECEIVE_MESSAGES 16
#define TRANSMIT_MESSAGES 64
#define TRANSMIT_PARTS 512
#define TAG_BYTES 4
// What the kernel says beside a datagram: the size of joined ones and the traffic class, an int each.
#define UDP_CONTROL_BYTES (2 * CMSG_SPACE(sizeof(int)))
#define PACKET_CONTROL_BYTES CMSG_SPACE(sizeof(struct tpacket_auxdata))
#define CONTROL_BYTES (UDP_CONTROL_BYTES > PACKET_CONTROL_BYTES ? UDP_CONTROL_BYTES : PACKET_CONTROL_BYTES)

// One control message of a received message, or NULL.
static const void *control_data(struct msghdr *message, int level, int type, size_t bytes) {
  for (struct cmsghdr *each = CMSG_FIRSTHDR(message); each != NULL; each = CMSG_NXTHDR(message, each)) {
    if (each->cmsg_level == level && each->cmsg_type == type && each->cmsg_len >= CMSG_LEN(bytes)) {
      return CMSG_DATA(each);
    }
  }
  return NULL;
}

static void store_peer(struct peer *row, const union any_address *from, struct msghdr *message) {
  *row = (struct peer){0};
  int segment_bytes = 0, traffic_class = 0;
  const void *data = control_data(message, SOL_UDP, UDP_GRO, sizeof segment_bytes);
  if (data != NULL) memcpy(&segment_bytes, data, sizeof segment_bytes);
  row->segment_bytes = (uint16_t)segment_bytes;
  if (from->base.sa_family == AF_INET) {
    row->family = PEER_IPV4;
    row->port = ntohs(from->v4.sin_port);
    memcpy(row->address, &from->v4.sin_addr, 4);
    data = control_data(message, IPPROTO_IP, IP_TOS, sizeof row->traffic_class);
    if (data != NULL) memcpy(&row->traffic_class, data, sizeof row->traffic_class);
  } else if (from->base.sa_family == AF_INET6) {
    row->family = PEER_IPV6;
    row->port = ntohs(from->v6.sin6_port);
    row->scope = from->v6.sin6_scope_id;
    memcpy(row->address, &from->v6.sin6_addr, 16);
    data = control_data(message, IPPROTO_IPV6, IPV6_TCLASS, sizeof traffic_class);
    if (data != NULL) memcpy(&traffic_class, data, sizeof traffic_class);
    row->traffic_class = (uint8_t)traffic_class;
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

struct inbox {
  struct mmsghdr messages[RECEIVE_MESSAGES];
  struct iovec parts[RECEIVE_MESSAGES];
  union any_address from[RECEIVE_MESSAGES];
  int64_t starts[RECEIVE_MESSAGES];
  _Alignas(struct cmsghdr) char control[RECEIVE_MESSAGES][CONTROL_BYTES];
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
    store_peer(&state->rx_peer[row], &inbox->from[slot], message);
  }
  state->rx_start[row] = (int32_t)start;
  state->rx_length[row] = (int32_t)(end - start);
  return end;
}

// #syscalls: recvmmsg
int receive_messages(struct weft *state, const struct port *port, int row, int most, int64_t at, int64_t end) {
  struct inbox inbox;
  // The caller spreads joined datagrams: what it puts in front of each is up to 4 bytes longer than what it takes away.
  const int headroom = FRAME_HEADROOM + (port->kind == PORT_PACKET ? TAG_BYTES : SPREAD_BYTES);
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

// Messages on their way out. One is made of one row, or of several that lie behind each other: `first[m]`, `rows[m]` of them.
struct outbox {
  struct mmsghdr messages[TRANSMIT_MESSAGES];
  int first[TRANSMIT_MESSAGES], rows[TRANSMIT_MESSAGES];
  struct iovec parts[TRANSMIT_PARTS];
  union any_address to[TRANSMIT_MESSAGES];
  _Alignas(struct cmsghdr) char control[TRANSMIT_MESSAGES][UDP_CONTROL_BYTES];
  int message_count, part_count;
};

static void add_control(struct msghdr *message, char *room, int level, int type, const void *data, size_t bytes) {
  if (message->msg_control == NULL) message->msg_control = room;
  struct cmsghdr *entry = (struct cmsghdr *)(room + message->msg_controllen);
  *entry = (struct cmsghdr){.cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN(bytes)};
  memcpy(CMSG_DATA(entry), data, bytes);
  message->msg_controllen += CMSG_SPACE(bytes);
}

static void address_message(struct outbox *outbox, int slot, const struct peer *peer) {
  struct msghdr *message = &outbox->messages[slot].msg_hdr;
  char *room = outbox->control[slot];
  message->msg_namelen = load_peer(peer, &outbox->to[slot]);
  if (message->msg_namelen > 0) message->msg_name = &outbox->to[slot];
  if (peer->segment_bytes != 0) {
    add_control(message, room, SOL_UDP, UDP_SEGMENT, &peer->segment_bytes, sizeof peer->segment_bytes);
  }
  if (peer->traffic_class != 0 && message->msg_namelen > 0) {
    const int traffic_class = peer->traffic_class;
    const bool v6 = peer->family == PEER_IPV6;
    add_control(message, room, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, &traffic_class,
                sizeof traffic_class);
  }
}

// Behind the parts of the last message.
static void append_parts(struct outbox *outbox, const struct departure *departure) {
  struct msghdr *message = &outbox->messages[outbox->message_count - 1].msg_hdr;
  for (int part = departure->parts[0].iov_len == 0 ? 1 : 0; part < 2; part++) {
    outbox->parts[outbox->part_count++] = departure->parts[part];
    message->msg_iovlen++;
  }
  outbox->rows[outbox->message_count - 1]++;
}

static void begin_message(struct outbox *outbox, int row) {
  const int slot = outbox->message_count++;
  outbox->messages[slot].msg_hdr = (struct msghdr){.msg_iov = &outbox->parts[outbox->part_count]};
  outbox->first[slot] = row;
  outbox->rows[slot] = 0;
}

// Takes the last message back: a piece of it cannot be sent, and without that the rest would mean something else.
static void refuse_message(struct weft *state, struct outbox *outbox) {
  const int slot = --outbox->message_count;
  outbox->part_count -= (int)outbox->messages[slot].msg_hdr.msg_iovlen;
  for (int i = 0; i < outbox->rows[slot]; i++) state->tx_result[outbox->first[slot] + i] = -EINVAL;
}

// Fills the outbox with the rows from `first` on that belong to that port, whole messages only, and gives pieces that cannot be sent
// their result. Returns how many rows it dealt with.
static int collect(struct weft *state, const struct port *port, struct outbox *outbox, int first, int end) {
  bool open = false; // whether the next row may continue the last message
  int row = first;
  outbox->message_count = outbox->part_count = 0;
  for (; row < end; row++) {
    struct departure departure = {0};
    struct peer peer = {0};
    const int answer = load_departure(state, row, &departure);
    const bool udp = departure.port != NULL && departure.port->kind == PORT_UDP && row < state->tx_peer_rows;
    if (udp) peer = state->tx_peer[row];
    if (peer.flags & PEER_CONTINUES) {
      const bool fits = answer == 0 && departure.port == port && open &&
                        outbox->rows[outbox->message_count - 1] < MAX_JOINED_ROWS;
      if (fits) {
        append_parts(outbox, &departure);
        continue;
      }
      if (open) refuse_message(state, outbox);
      open = false;
      state->tx_result[row] = -EINVAL;
      continue;
    }
    if (answer < 0 || departure.port != port || outbox->message_count == TRANSMIT_MESSAGES ||
        outbox->part_count + 2 * MAX_JOINED_ROWS > TRANSMIT_PARTS) {
      break; // the caller looks at that row again
    }
    begin_message(outbox, row);
    if (udp) address_message(outbox, outbox->message_count - 1, &peer);
    append_parts(outbox, &departure);
    open = true;
  }
  return row - first;
}

static int finish(struct weft *state, const struct outbox *outbox, int slot, int result) {
  for (int i = 0; i < outbox->rows[slot]; i++) state->tx_result[outbox->first[slot] + i] = result;
  return outbox->rows[slot];
}

// #syscalls: sendmmsg
int transmit_messages(struct weft *state, const struct port *port, int first, int end, int *sent) {
  struct outbox outbox;
  const int rows = collect(state, port, &outbox, first, end);
  if (rows == 0) { // another thread changed the row since the caller looked
    state->tx_result[first] = -EINVAL;
    return 1;
  }
  for (int slot = 0; slot < outbox.message_count;) {
    int done = sendmmsg(port->fd, outbox.messages + slot, (unsigned int)(outbox.message_count - slot), 0);
    if (done > 0) {
      // one that failed behind these is tried again and says why
      for (int i = 0; i < done; i++) *sent += finish(state, &outbox, slot++, 0);
      continue;
    }
    int error = done < 0 ? -errno : -EIO;
    finish(state, &outbox, slot++, error);
    // the socket is full: so it is for the rest
    while (error == -EAGAIN && slot < outbox.message_count) finish(state, &outbox, slot++, error);
  }
  return rows;
}
