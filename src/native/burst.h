// The state of one environment: the bound slab and columns, the ports and the epoll descriptor.
//
// Memory safety: `slab` and the columns point into memory that JavaScript owns. Strong references keep it alive, the
// loader refuses resizable buffers, and every call asks first whether one of them was detached (burst_alive): then the
// binding is dropped and the call answers -EINVAL. No JavaScript of this thread runs between that question and the last
// access. Another thread may write to shared columns at any time: so an offset is read once, then checked, then used.
#ifndef WEFT_BURST_H
#define WEFT_BURST_H

#include "weft.h"

#include <sys/uio.h>

#define MAX_BUFFERS 12

struct port {
  int fd; // -1: free
  uint8_t kind;
  uint8_t header_bytes;
};

struct peer {
  uint16_t family; // PEER_*, machine byte order like port, scope and segment_bytes
  uint16_t port;
  uint32_t scope;      // interface index of a link-local IPv6 address
  uint8_t address[16]; // IPv4 in the first four
  uint16_t segment_bytes; // UDP GRO / GSO: payload bytes of every datagram but the last, 0 = one datagram
  uint8_t traffic_class;  // TOS of IPv4
  uint8_t flags;          // PEER_CONTINUES; of rows to send only, also to TAPs
  uint8_t reserved[4];
};
_Static_assert(sizeof(struct peer) == PEER_BYTES, "a row of rxPeer and txPeer");

struct weft {
  uint8_t *slab; // NULL: nothing is bound
  int64_t slab_bytes;
  int32_t *rx_start, *rx_length;
  const volatile int32_t *tx_port, *tx_head_at, *tx_head_bytes, *tx_body_at, *tx_body_bytes;
  int32_t *tx_result, *ready;
  struct peer *rx_peer;
  const struct peer *tx_peer;
  int rx_rows, tx_rows, ready_rows, rx_peer_rows, tx_peer_rows;

  struct buffer {
    napi_ref reference;
    bool detachable; // shared memory is not
  } buffers[MAX_BUFFERS]; // the distinct buffers behind all of that
  int buffer_count;

  int epoll_fd;
  int wake_fd; // -1: none
  bool no_pwait2;
  struct port ports[MAX_PORTS];
};

bool burst_alive(struct call *call);

// True when [at, at + bytes) lies inside the slab.
static inline bool burst_holds(const struct weft *state, int64_t at, int64_t bytes) {
  return at >= 0 && bytes >= 0 && at + bytes <= state->slab_bytes;
}

// Where a frame begins when the free room begins at `at`: behind its headroom, 2 past a multiple of 16, so that the IP
// header behind 14 bytes of Ethernet is aligned.
static inline int64_t frame_start(int64_t at, int headroom) {
  return ((at + headroom + 15) & ~(int64_t)15) + 2;
}

// One row to send, checked: a copy, because its columns may change.
struct departure {
  const struct port *port;
  struct iovec parts[2]; // head (maybe empty), body
};
// 0, or why this row cannot even be tried.
int load_departure(const struct weft *state, int row, struct departure *out);

// messages.c: the same work for sockets, many messages per system call.
int receive_messages(struct weft *state, const struct port *port, int row, int most, int64_t at, int64_t end);
// Sends the rows from `first` on, before `end`, that belong to that port, as many as one call takes; fills tx_result
// and adds to `sent`. Returns how many rows it dealt with, at least one.
int transmit_messages(struct weft *state, const struct port *port, int first, int end, int *sent);

#endif
