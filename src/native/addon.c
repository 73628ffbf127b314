// The door between JavaScript and C: the table of functions, the one trampoline they are called through, argument
// checks, and the table of descriptors that the addon owns. No function here does any networking.
#include "weft.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define ABI_VERSION 3 // raise together with NATIVE_ABI in index.ts whenever an argument changes its meaning

static int close_fd(struct call *call), disown_fd(struct call *call);

static const struct function FUNCTIONS[] = {
    {"openNamespace", open_namespace},
    {"createNamespace", create_namespace},
    {"removeNamespace", remove_namespace},
    {"enterNamespace", enter_namespace},
    {"namespaceIdentity", namespace_identity},
    {"execProgram", exec_program},
    {"makeNamespace", make_namespace_without_name},
    {"privateMounts", private_mounts},
    {"bindMount", bind_mount},
    {"pidfdOpen", open_process},
    {"openTap", open_tap},
    {"probeTapOffloads", probe_tap_offloads},
    {"setTapCarrier", set_tap_carrier},
    {"setTapPersist", set_tap_persist},
    {"tapName", tap_name},
    {"tapNamespace", tap_namespace},
    {"setLinkSpeed", set_link_speed},
    {"openPacket", open_packet},
    {"packetHeaderBytes", packet_header_bytes},
    {"openUdp", open_udp},
    {"udpPort", udp_port},
    {"joinGroup", join_group},
    {"leaveGroup", leave_group},
    {"setMulticast", set_multicast},
    {"openListener", open_listener},
    {"closeFd", close_fd},
    {"disownFd", disown_fd},
    {"createWake", create_wake},
    {"wake", wake},
    {"bindBurst", bind_burst},
    {"unbindBurst", unbind_burst},
    {"setWake", set_wake},
    {"addPort", add_port},
    {"removePort", remove_port},
    {"wait", wait_ready},
    {"receiveBurst", receive_burst},
    {"transmitBurst", transmit_burst},
    {"checksum", checksum},
    {"notifySupervisor", notify_supervisor},
    {"hasReader", has_reader},
    {"openFramePipe", open_frame_pipe},
    {"returnFreedMemory", return_freed_memory},
    {"mapFile", map_file},
    {"claimFile", claim_file},
};
#define FUNCTION_COUNT (sizeof FUNCTIONS / sizeof FUNCTIONS[0])

#define CONSTANT(name) {#name, name}
static const struct constant CONSTANTS[] = {
    CONSTANT(TAP_VNET_HEADER), CONSTANT(TAP_MULTI_QUEUE), CONSTANT(TAP_PERSIST), CONSTANT(TAP_EXCLUSIVE),
    CONSTANT(TAP_EXISTING), CONSTANT(VNET_HEADER_BYTES), CONSTANT(TUNNEL_HEADER_BYTES),
    CONSTANT(PACKET_VNET_HEADER), CONSTANT(PACKET_PROMISCUOUS), CONSTANT(LISTEN_UDP), CONSTANT(LISTEN_TCP),
    CONSTANT(UDP_COALESCED), CONSTANT(UDP_REUSE), CONSTANT(UDP_DEAF), CONSTANT(UDP_DONT_FRAGMENT),
    CONSTANT(UDP_ZERO_CHECKSUM), CONSTANT(PORT_TAP), CONSTANT(PORT_PACKET), CONSTANT(PORT_UDP),
    CONSTANT(READY_WAKE), CONSTANT(READY_ERROR), CONSTANT(FRAME_HEADROOM), CONSTANT(FRAME_ROOM),
    CONSTANT(SPREAD_BYTES), CONSTANT(MAX_PORTS), CONSTANT(MAX_HEADER_BYTES), CONSTANT(PEER_BYTES), CONSTANT(PEER_NONE), CONSTANT(PEER_IPV4),
    CONSTANT(PEER_IPV6), CONSTANT(PEER_CONTINUES), CONSTANT(MAX_JOINED_ROWS), CONSTANT(MAX_WAIT_MICROS),
    CONSTANT(MAX_MAPPED_BYTES), CONSTANT(MAX_CLAIMED_BYTES),
};

// One per environment and function: what the trampoline needs to know, so that it looks nothing up.
struct binding {
  native_function run;
  struct weft *state;
};
struct instance {
  struct weft *state;
  struct binding bindings[FUNCTION_COUNT];
};

static napi_value trampoline(napi_env env, napi_callback_info info) {
  struct call call = {.env = env};
  size_t count = MAX_ARGUMENTS; // missing arguments arrive as undefined, surplus ones are ignored
  void *data = NULL;
  if (napi_get_cb_info(env, info, &count, call.arguments, NULL, &data) != napi_ok) return NULL;
  const struct binding *binding = data;
  call.state = binding->state;
  int answer = binding->run(&call);
  if (call.result != NULL) return call.result;
  napi_value result = NULL;
  napi_create_int32(env, answer, &result);
  return result;
}

bool take_int(struct call *call, int index, int64_t least, int64_t most, int *out) {
  double value;
  if (napi_get_value_double(call->env, call->arguments[index], &value) != napi_ok) return false;
  if (!(value >= (double)least && value <= (double)most) || value != trunc(value)) return false; // NaN fails too
  *out = (int)(uint32_t)(int64_t)value;
  return true;
}

bool string_of(napi_env env, napi_value value, char *out, size_t room) {
  size_t bytes;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &bytes) != napi_ok || bytes >= room) return false;
  if (napi_get_value_string_utf8(env, value, out, room, &bytes) != napi_ok) return false;
  return strlen(out) == bytes;
}

bool is_missing(struct call *call, int index) {
  napi_valuetype type;
  return napi_typeof(call->env, call->arguments[index], &type) == napi_ok && type == napi_undefined;
}

bool take_string(struct call *call, int index, char *out, size_t room) {
  return string_of(call->env, call->arguments[index], out, room);
}

// One byte per possible descriptor: its kind, and HELD while some thread waits on it. Pages of the table that are never
// touched cost nothing.
#define MAX_OWNED (1 << 20)
#define HELD 0x80
static _Atomic uint8_t owned_table[MAX_OWNED];

int own(int fd, enum owned kind) {
  if (fd < 0) return -errno;
  if (fd >= MAX_OWNED) {
    close(fd);
    return -EMFILE;
  }
  atomic_store(&owned_table[fd], (uint8_t)kind);
  return fd;
}

void disown(int fd) {
  atomic_store(&owned_table[fd], OWNED_NONE);
}

int take_owned(struct call *call, int index, enum owned kind, int *fd) {
  if (!take_int(call, index, 0, INT32_MAX, fd)) return -EINVAL;
  if (*fd >= MAX_OWNED) return -EBADF;
  return (atomic_load(&owned_table[*fd]) & ~HELD) == (uint8_t)kind ? 0 : -EBADF;
}

int owned_hold(int fd, enum owned kind) {
  if (fd < 0 || fd >= MAX_OWNED) return -EBADF;
  uint8_t found = (uint8_t)kind;
  if (atomic_compare_exchange_strong(&owned_table[fd], &found, (uint8_t)(kind | HELD))) return 0;
  return found == (kind | HELD) ? -EBUSY : -EBADF;
}

void owned_release(int fd) {
  atomic_fetch_and(&owned_table[fd], (uint8_t)~HELD);
}

// Takes a descriptor out of the table: 0, or why it may not be closed now.
static int give_up(struct call *call, int *fd) {
  if (!take_int(call, 0, 0, INT32_MAX, fd)) return -EINVAL;
  if (*fd >= MAX_OWNED) return -EBADF;
  uint8_t kind = atomic_load(&owned_table[*fd]);
  do {
    if (kind == OWNED_NONE) return -EBADF;
    if (kind & HELD) return -EBUSY; // removePort first, or the port would come to mean the next file of that number
  } while (!atomic_compare_exchange_weak(&owned_table[*fd], &kind, OWNED_NONE));
  return 0;
}

// #syscalls: close
static int close_fd(struct call *call) {
  int fd;
  int answer = give_up(call, &fd);
  if (answer < 0) return answer;
  return close(fd) == 0 ? 0 : -errno;
}

static int disown_fd(struct call *call) {
  int fd;
  return give_up(call, &fd);
}

static void instance_free(napi_env env, void *data, void *hint) {
  (void)hint;
  struct instance *instance = data;
  burst_state_free(env, instance->state);
  free(instance);
}

NAPI_MODULE_INIT() {
  struct instance *instance = calloc(1, sizeof *instance);
  if (instance != NULL) instance->state = burst_state_new();
  if (instance == NULL || instance->state == NULL) {
    free(instance);
    napi_throw_error(env, "ENOMEM", "weft: no memory or no epoll descriptor for the native addon");
    return NULL;
  }
  napi_set_instance_data(env, instance, instance_free, NULL);

  napi_value value, constants;
  for (size_t i = 0; i < FUNCTION_COUNT; i++) {
    struct binding *binding = &instance->bindings[i];
    *binding = (struct binding){.run = FUNCTIONS[i].run, .state = instance->state};
    napi_create_function(env, FUNCTIONS[i].name, NAPI_AUTO_LENGTH, trampoline, binding, &value);
    napi_set_named_property(env, exports, FUNCTIONS[i].name, value);
  }
  napi_create_object(env, &constants);
  for (size_t i = 0; i < sizeof CONSTANTS / sizeof CONSTANTS[0]; i++) {
    napi_create_int32(env, CONSTANTS[i].value, &value);
    napi_set_named_property(env, constants, CONSTANTS[i].name, value);
  }
  napi_set_named_property(env, exports, "constants", constants);
  napi_create_int32(env, ABI_VERSION, &value);
  napi_set_named_property(env, exports, "abi", value);
  return exports;
}
