// Pipes: whether anybody reads one any more (what the next write would tell, without a write), and pipes that are ports: the
// datapath writes frames that another thread reads. Read first: poll(2), pipe(7), "packet mode" in pipe(2).
#include "weft.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#define FRAME_PIPE_BYTES (1 << 20) // a page for each frame

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

// The writing end, to be used as a port; the reading end into out[0]. Each write is one frame of up to 4096 bytes, each read too.
// #syscalls: pipe2 fcntl close
int open_frame_pipe(struct call *call) {
  napi_typedarray_type type;
  size_t length = 0;
  void *data = NULL;
  if (napi_get_typedarray_info(call->env, call->arguments[0], &type, &length, &data, NULL, NULL) != napi_ok ||
      type != napi_int32_array || length < 1 || data == NULL) {
    return -EINVAL;
  }
  int ends[2];
  if (pipe2(ends, O_DIRECT | O_NONBLOCK | O_CLOEXEC) < 0) return -errno;
  fcntl(ends[1], F_SETPIPE_SZ, FRAME_PIPE_BYTES); // best effort: the limit of this user may be lower
  int reader = own(ends[0], OWNED_PIPE); // own() closes what it refuses
  if (reader < 0) {
    close(ends[1]);
    return reader;
  }
  int writer = own(ends[1], OWNED_TAP);
  if (writer < 0) {
    disown(reader);
    close(reader);
    return writer;
  }
  *(int32_t *)data = reader;
  return writer;
}
