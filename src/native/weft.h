// What the C files of the addon share: the shape of a call, argument checks, ownership of file descriptors.
//
// Every function of the addon has the type `native_function`: it returns >= 0 or -errno (which becomes the number that
// TypeScript sees), never throws and never trusts an argument. One state (`struct weft`) per Node environment, so that
// the addon loads in the main thread and in workers; only the table of owned descriptors is shared by the process,
// because descriptors are.
#ifndef WEFT_H
#define WEFT_H

#define _GNU_SOURCE
#define NAPI_VERSION 9
#include <errno.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MAX_ARGUMENTS 12
#define NO_NAMESPACE (-1) // as nsFd: stay in the namespace of the calling thread

struct weft; // burst.c: slab, columns, ports, epoll

struct call {
  napi_env env;
  struct weft *state;
  napi_value result; // set by the few functions whose success is not a number
  napi_value arguments[MAX_ARGUMENTS];
};

typedef int (*native_function)(struct call *call);

struct function {
  const char *name;
  native_function run;
};

struct constant {
  const char *name;
  int value;
};

// Argument checks (addon.c). `false` means: wrong type, not an integer or out of range; the caller returns -EINVAL.
bool take_int(struct call *call, int index, int64_t least, int64_t most, int *out);
// Copies a string into `out`; refuses one that is longer than room - 1 bytes or that contains a NUL.
bool take_string(struct call *call, int index, char *out, size_t room);
bool is_missing(struct call *call, int index); // undefined
bool string_of(napi_env env, napi_value value, char *out, size_t room);

// Descriptors that the addon opened. Only those can be used or closed through it: a stray number can therefore not
// close a descriptor of libuv, and a double close is -EBADF instead of somebody else's file.
enum owned { OWNED_NONE, OWNED_NAMESPACE, OWNED_TAP, OWNED_PACKET, OWNED_UDP, OWNED_WAKE, OWNED_PROCESS, OWNED_LISTENER, OWNED_PIPE };
int own(int fd, enum owned kind);        // registers a fresh descriptor; returns it, or -errno and closes it
void disown(int fd);                     // forgets one that own() returned; the caller closes it
int take_owned(struct call *call, int index, enum owned kind, int *fd); // 0, -EINVAL or -EBADF
int owned_hold(int fd, enum owned kind); // some thread's epoll uses it: 0, -EBUSY when one does already, or -EBADF
void owned_release(int fd);

// namespace.c: go to another network namespace and come back, for the calling thread, within one synchronous call.
// Returns a token for namespace_leave, or -errno and the thread stays where it was.
int namespace_visit(int ns_fd);
void namespace_leave(int token);
// A throw-away socket that answers interface ioctls of that namespace, or -errno.
int control_socket(int ns_fd);
int interface_index(int socket, const char *name); // in the namespace of that socket, or -errno

struct weft *burst_state_new(void);
void burst_state_free(napi_env env, struct weft *state);

// The functions, by file. What each does and returns: index.ts.
int open_namespace(struct call *), create_namespace(struct call *), remove_namespace(struct call *);
int enter_namespace(struct call *), namespace_identity(struct call *), exec_program(struct call *);
int make_namespace_without_name(struct call *), private_mounts(struct call *), bind_mount(struct call *);
int open_process(struct call *);
int open_tap(struct call *), probe_tap_offloads(struct call *), set_tap_carrier(struct call *);
int set_tap_persist(struct call *), tap_name(struct call *), tap_namespace(struct call *);
int set_link_speed(struct call *);
int open_packet(struct call *), packet_header_bytes(struct call *), open_udp(struct call *), udp_port(struct call *);
int join_group(struct call *), leave_group(struct call *), set_multicast(struct call *);
int open_listener(struct call *);
int create_wake(struct call *), wake(struct call *);
int bind_burst(struct call *), unbind_burst(struct call *), set_wake(struct call *), add_port(struct call *);
int remove_port(struct call *), wait_ready(struct call *), receive_burst(struct call *), transmit_burst(struct call *);
int checksum(struct call *), notify_supervisor(struct call *), has_reader(struct call *);
int open_frame_pipe(struct call *);
int return_freed_memory(struct call *);
int map_file(struct call *), claim_file(struct call *);

// Flags and kinds of weft's own interface; index.ts repeats them and a test compares the two.
enum { TAP_VNET_HEADER = 1, TAP_MULTI_QUEUE = 2, TAP_PERSIST = 4, TAP_EXCLUSIVE = 8, TAP_EXISTING = 16 };
enum { PACKET_VNET_HEADER = 1, PACKET_PROMISCUOUS = 2 };
enum { UDP_COALESCED = 1, UDP_REUSE = 2, UDP_DEAF = 4, UDP_DONT_FRAGMENT = 8, UDP_ZERO_CHECKSUM = 16 };
enum { VNET_HEADER_BYTES = 12, TUNNEL_HEADER_BYTES = 24 };
enum { LISTEN_UDP = 0, LISTEN_TCP = 1 };
enum { PORT_TAP = 0, PORT_PACKET = 1, PORT_UDP = 2 };
enum { READY_WAKE = -1, READY_ERROR = 0x40000000 };
enum { SPREAD_BYTES = 256 }; // in front of messages of UDP sockets, beside the headroom
enum { FRAME_HEADROOM = 128, FRAME_ROOM = 65536 + 64, MAX_PORTS = 4096, MAX_HEADER_BYTES = 64, PEER_BYTES = 32 };
enum { PEER_NONE = 0, PEER_IPV4 = 4, PEER_IPV6 = 6, PEER_CONTINUES = 1, MAX_JOINED_ROWS = 64 };
enum { MAX_WAIT_MICROS = 100000 };
enum { MAX_MAPPED_BYTES = 1 << 30, MAX_CLAIMED_BYTES = 1 << 24 };

#endif
