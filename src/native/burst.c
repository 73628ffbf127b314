// Burst I/O: waiting for ports, receiving frames into the slab, transmitting them from it. One crossing from JavaScript
// moves many frames; offsets are checked here, in 64-bit arithmetic, whatever the caller computed.
// Not here: sockets (sockets.c), and any opinion about what a frame contains.
#include "burst.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define MAX_EVENTS 256
#define WAKE_EVENT UINT32_MAX

// #syscalls: epoll_create1
struct weft *burst_state_new(void) {
  struct weft *state = calloc(1, sizeof *state);
  if (state == NULL) return NULL;
  state->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (state->epoll_fd < 0) {
    free(state);
    return NULL;
  }
  state->wake_fd = -1;
  for (int port = 0; port < MAX_PORTS; port++) state->ports[port].fd = -1;
  return state;
}

static void unbind(napi_env env, struct weft *state) {
  for (int i = 0; i < state->buffer_count; i++) napi_delete_reference(env, state->buffers[i].reference);
  state->buffer_count = 0;
  state->slab = NULL;
  state->slab_bytes = 0;
  state->rx_rows = state->tx_rows = state->ready_rows = state->rx_peer_rows = state->tx_peer_rows = 0;
}

// #syscalls: close
void burst_state_free(napi_env env, struct weft *state) {
  unbind(env, state);
  for (int port = 0; port < MAX_PORTS; port++) {
    if (state->ports[port].fd >= 0) owned_release(state->ports[port].fd);
  }
  if (state->wake_fd >= 0) owned_release(state->wake_fd);
  close(state->epoll_fd);
  free(state);
}

bool burst_alive(struct call *call) {
  struct weft *state = call->state;
  for (int i = 0; i < state->buffer_count; i++) {
    napi_value buffer;
    bool detached;
    if (!state->buffers[i].detachable) continue;
    if (napi_get_reference_value(call->env, state->buffers[i].reference, &buffer) != napi_ok ||
        napi_is_detached_arraybuffer(call->env, buffer, &detached) != napi_ok || detached) {
      unbind(call->env, state);
      return false;
    }
  }
  return state->slab != NULL;
}

static bool remember_buffer(struct call *call, napi_value buffer) {
  struct weft *state = call->state;
  for (int i = 0; i < state->buffer_count; i++) {
    napi_value known;
    bool same;
    if (napi_get_reference_value(call->env, state->buffers[i].reference, &known) != napi_ok ||
        napi_strict_equals(call->env, known, buffer, &same) != napi_ok) {
      return false;
    }
    if (same) return true;
  }
  if (state->buffer_count == MAX_BUFFERS) return false;
  struct buffer *entry = &state->buffers[state->buffer_count];
  if (napi_is_arraybuffer(call->env, buffer, &entry->detachable) != napi_ok) return false;
  if (napi_create_reference(call->env, buffer, 1, &entry->reference) != napi_ok) return false;
  state->buffer_count++;
  return true;
}

static bool take_array(struct call *call, int index, napi_typedarray_type wanted, void **data, size_t *length) {
  napi_typedarray_type type;
  napi_value buffer;
  napi_status status =
      napi_get_typedarray_info(call->env, call->arguments[index], &type, length, data, &buffer, NULL);
  if (status != napi_ok || type != wanted || *length > INT32_MAX) return false;
  return (*data != NULL || *length == 0) && remember_buffer(call, buffer);
}

static int least(size_t a, size_t b) {
  return (int)(a < b ? a : b);
}

static bool bind_arrays(struct call *call) {
  struct weft *state = call->state;
  void *data[MAX_ARGUMENTS];
  size_t length[MAX_ARGUMENTS];
  // slab, rxStart, rxLength, txPort, txHeadAt, txHeadBytes, txBodyAt, txBodyBytes, txResult, ready, rxPeer, txPeer
  for (int i = 0; i < MAX_ARGUMENTS; i++) {
    bool bytes = i == 0 || i >= 10;
    if (!take_array(call, i, bytes ? napi_uint8_array : napi_int32_array, &data[i], &length[i])) return false;
  }
  if (length[0] == 0 || ((uintptr_t)data[10] | (uintptr_t)data[11]) & 3) return false; // peers: aligned for their words
  state->rx_start = data[1], state->rx_length = data[2];
  state->tx_port = data[3], state->tx_head_at = data[4], state->tx_head_bytes = data[5];
  state->tx_body_at = data[6], state->tx_body_bytes = data[7], state->tx_result = data[8];
  state->ready = data[9], state->rx_peer = data[10], state->tx_peer = data[11];
  state->rx_rows = least(length[1], length[2]);
  state->tx_rows = (int)length[3];
  for (int i = 4; i <= 8; i++) state->tx_rows = least((size_t)state->tx_rows, length[i]);
  state->ready_rows = (int)length[9];
  state->rx_peer_rows = (int)(length[10] / PEER_BYTES);
  state->tx_peer_rows = (int)(length[11] / PEER_BYTES);
  state->slab_bytes = (int64_t)length[0];
  state->slab = data[0];
  return true;
}

int bind_burst(struct call *call) {
  unbind(call->env, call->state);
  if (bind_arrays(call)) return 0;
  unbind(call->env, call->state);
  return -EINVAL;
}

int unbind_burst(struct call *call) {
  unbind(call->env, call->state);
  return 0;
}

// #syscalls: eventfd2
int create_wake(struct call *call) {
  (void)call;
  return own(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), OWNED_WAKE);
}

// #syscalls: write
int wake(struct call *call) {
  int fd;
  int answer = take_owned(call, 0, OWNED_WAKE, &fd);
  if (answer < 0) return answer;
  uint64_t one = 1;
  return write(fd, &one, sizeof one) == sizeof one || errno == EAGAIN ? 0 : -errno; // EAGAIN: awake 2^64 times over
}

// Adds a descriptor to the epoll set, once in the whole process: 0 or -errno.
// #syscalls: epoll_ctl
static int watch(struct weft *state, int fd, enum owned kind, uint32_t label) {
  int answer = owned_hold(fd, kind);
  if (answer < 0) return answer;
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = label};
  if (epoll_ctl(state->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) return 0;
  answer = -errno;
  owned_release(fd);
  return answer;
}

static void unwatch(struct weft *state, int fd) {
  epoll_ctl(state->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
  owned_release(fd);
}

int set_wake(struct call *call) {
  struct weft *state = call->state;
  int fd;
  if (!take_int(call, 0, -1, INT32_MAX, &fd)) return -EINVAL;
  if (state->wake_fd >= 0) unwatch(state, state->wake_fd);
  state->wake_fd = -1;
  if (fd < 0) return 0;
  int answer = watch(state, fd, OWNED_WAKE, WAKE_EVENT);
  if (answer == 0) state->wake_fd = fd;
  return answer;
}

int add_port(struct call *call) {
  static const enum owned KINDS[] = {[PORT_TAP] = OWNED_TAP, [PORT_PACKET] = OWNED_PACKET, [PORT_UDP] = OWNED_UDP};
  struct weft *state = call->state;
  int port, fd, kind, header_bytes;
  if (!take_int(call, 0, 0, MAX_PORTS - 1, &port) || !take_int(call, 1, 0, INT32_MAX, &fd) ||
      !take_int(call, 2, PORT_TAP, PORT_UDP, &kind) || !take_int(call, 3, 0, MAX_HEADER_BYTES, &header_bytes)) {
    return -EINVAL;
  }
  if (state->ports[port].fd >= 0) return -EEXIST;
  int answer = watch(state, fd, KINDS[kind], (uint32_t)port);
  if (answer < 0) return answer;
  state->ports[port] = (struct port){.fd = fd, .kind = (uint8_t)kind, .header_bytes = (uint8_t)header_bytes};
  return 0;
}

int remove_port(struct call *call) {
  struct weft *state = call->state;
  int port;
  if (!take_int(call, 0, 0, MAX_PORTS - 1, &port)) return -EINVAL;
  if (state->ports[port].fd < 0) return -ENODEV;
  unwatch(state, state->ports[port].fd);
  state->ports[port].fd = -1;
  return 0;
}

// #syscalls: epoll_pwait2 epoll_wait
static int wait_events(struct weft *state, struct epoll_event *events, int most, int micros) {
  if (!state->no_pwait2) {
    struct timespec timeout = {.tv_nsec = (long)micros * 1000};
    int count = epoll_pwait2(state->epoll_fd, events, most, &timeout, NULL);
    if (count >= 0 || errno != ENOSYS) return count;
    state->no_pwait2 = true; // before Linux 5.11: milliseconds
  }
  return epoll_wait(state->epoll_fd, events, most, (micros + 999) / 1000);
}

// #syscalls: read
int wait_ready(struct call *call) {
  struct weft *state = call->state;
  struct epoll_event events[MAX_EVENTS];
  int micros;
  if (!take_int(call, 0, 0, INT32_MAX, &micros) || !burst_alive(call) || state->ready_rows == 0) return -EINVAL;
  if (micros > MAX_WAIT_MICROS) micros = MAX_WAIT_MICROS; // a worker must come back to be terminated
  int count = wait_events(state, events, least(MAX_EVENTS, (size_t)state->ready_rows), micros);
  if (count < 0) return errno == EINTR ? 0 : -errno;
  for (int i = 0; i < count; i++) {
    if (events[i].data.u32 == WAKE_EVENT) {
      uint64_t times;
      if (read(state->wake_fd, &times, sizeof times) < 0) times = 0; // EAGAIN: somebody else was quicker
      state->ready[i] = READY_WAKE;
    } else {
      bool failed = events[i].events & (EPOLLERR | EPOLLHUP);
      state->ready[i] = (int32_t)events[i].data.u32 | (failed ? READY_ERROR : 0);
    }
  }
  return count;
}

// #syscalls: read
static int receive_tap(struct weft *state, const struct port *port, int row, int most, int64_t at, int64_t end) {
  const int header = port->header_bytes;
  // Only TAPs of tunnels have a longer header; what comes there may be joined datagrams too, as in receive_messages.
  const int headroom = FRAME_HEADROOM + (header > VNET_HEADER_BYTES ? SPREAD_BYTES : 0);
  int frames = 0;
  for (int attempt = 0; attempt < most; attempt++) {
    int64_t start = frame_start(at, headroom);
    if (start + FRAME_ROOM > end) break;
    ssize_t bytes = read(port->fd, state->slab + start - header, (size_t)(header + FRAME_ROOM));
    if (bytes < 0) {
      if (frames > 0 || errno == EAGAIN || errno == EINTR) break; // a lasting error comes back at the next call
      return -errno;
    }
    if (bytes < header) continue;
    int32_t length = (int32_t)(bytes - header);
    state->rx_start[row + frames] = (int32_t)start;
    state->rx_length[row + frames] = length;
    frames++;
    at = start + length;
  }
  return frames;
}

int receive_burst(struct call *call) {
  struct weft *state = call->state;
  int number, row, most, at, end;
  if (!take_int(call, 0, 0, MAX_PORTS - 1, &number) || !take_int(call, 1, 0, INT32_MAX, &row) ||
      !take_int(call, 2, 0, INT32_MAX, &most) || !take_int(call, 3, 0, INT32_MAX, &at) ||
      !take_int(call, 4, 0, INT32_MAX, &end) || !burst_alive(call)) {
    return -EINVAL;
  }
  const struct port *port = &state->ports[number];
  if (port->fd < 0) return -ENODEV;
  int rows = state->rx_rows;
  if (port->kind == PORT_UDP && state->rx_peer_rows < rows) rows = state->rx_peer_rows;
  if ((int64_t)row + most > rows || end > state->slab_bytes) return -EINVAL;
  if (port->kind == PORT_TAP) return receive_tap(state, port, row, most, at, end);
  return receive_messages(state, port, row, most, at, end);
}

static bool load_part(const struct weft *state, int64_t at, int64_t bytes, struct iovec *out) {
  if (!burst_holds(state, at, bytes)) return false;
  *out = (struct iovec){state->slab + at, (size_t)bytes};
  return true;
}

int load_departure(const struct weft *state, int row, struct departure *out) {
  uint32_t number = (uint32_t)state->tx_port[row];
  if (number >= MAX_PORTS || state->ports[number].fd < 0) return -ENODEV;
  out->port = &state->ports[number];
  if (!load_part(state, state->tx_head_at[row], state->tx_head_bytes[row], &out->parts[0]) ||
      !load_part(state, state->tx_body_at[row], state->tx_body_bytes[row], &out->parts[1])) {
    return -EINVAL;
  }
  return out->port->kind == PORT_UDP && row >= state->tx_peer_rows ? -EINVAL : 0;
}

// Adds the parts of a row to those of a frame; returns how many there are then.
static int add_parts(struct iovec *parts, int count, const struct departure *departure) {
  if (departure->parts[0].iov_len > 0) parts[count++] = departure->parts[0];
  parts[count++] = departure->parts[1];
  return count;
}

static bool continues(const struct weft *state, int row) {
  return row < state->tx_peer_rows && (state->tx_peer[row].flags & PEER_CONTINUES);
}

// Writes the frame that row `first` begins, with the rows before `end` that continue it: all of them or none. Fills tx_result, adds to
// `sent` and returns how many rows it dealt with.
// #syscalls: write writev
static int transmit_tap(struct weft *state, const struct departure *begun, int first, int end, int *sent) {
  struct iovec parts[2 * MAX_JOINED_ROWS];
  int count = add_parts(parts, 0, begun);
  int answer = continues(state, first) ? -EINVAL : 0; // more of a row that could not be sent
  int row = first + 1;
  for (; row < end && continues(state, row); row++) {
    struct departure departure;
    if (answer == 0) answer = load_departure(state, row, &departure);
    if (answer == 0 && (departure.port != begun->port || row - first == MAX_JOINED_ROWS)) answer = -EINVAL;
    if (answer == 0) count = add_parts(parts, count, &departure);
  }
  if (answer == 0) {
    ssize_t written = count == 1 ? write(begun->port->fd, parts[0].iov_base, parts[0].iov_len)
                                 : writev(begun->port->fd, parts, count);
    if (written < 0) answer = -errno;
  }
  if (answer == 0) *sent += row - first;
  for (int done = first; done < row; done++) state->tx_result[done] = answer;
  return row - first;
}

int transmit_burst(struct call *call) {
  struct weft *state = call->state;
  int first, count;
  if (!take_int(call, 0, 0, INT32_MAX, &first) || !take_int(call, 1, 0, INT32_MAX, &count) || !burst_alive(call) ||
      (int64_t)first + count > state->tx_rows) {
    return -EINVAL;
  }
  const int end = first + count;
  int sent = 0;
  for (int row = first; row < end;) {
    struct departure departure;
    int answer = load_departure(state, row, &departure);
    if (answer < 0) {
      state->tx_result[row++] = answer;
    } else if (departure.port->kind == PORT_TAP) {
      row += transmit_tap(state, &departure, row, end, &sent);
    } else {
      row += transmit_messages(state, departure.port, row, end, &sent);
    }
  }
  return sent;
}
