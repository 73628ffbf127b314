// One message to the supervisor that started this process: the datagram of sd_notify(3), without its library.
// Read first: sd_notify(3), unix(7).
#include "weft.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_MESSAGE_BYTES 4096

// A path or, with a leading @, a name of the abstract namespace -> the length of the address, or -1.
static int fill_address(struct sockaddr_un *address, const char *text) {
  size_t length = strlen(text);
  if ((text[0] != '/' && text[0] != '@') || length < 2 || length >= sizeof address->sun_path) return -1;
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  memcpy(address->sun_path, text, length);
  if (text[0] == '@') address->sun_path[0] = '\0';
  return (int)(offsetof(struct sockaddr_un, sun_path) + length + (text[0] == '/'));
}

// The socket is made anew each time: a supervisor that was replaced listens on the same address, not on the same socket.
// #syscalls: socket setsockopt sendto close
int notify_supervisor(struct call *call) {
  char text[sizeof((struct sockaddr_un *)0)->sun_path], message[MAX_MESSAGE_BYTES];
  struct sockaddr_un address;
  if (!take_string(call, 0, text, sizeof text) || !take_string(call, 1, message, sizeof message)) return -EINVAL;
  int length = fill_address(&address, text);
  if (length < 0 || message[0] == '\0') return -EINVAL;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  struct timeval patience = {.tv_usec = 200000}; // a supervisor that does not read must not hold up the control thread
  int answer = setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 ? 0 : -errno;
  if (answer == 0 &&
      sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&address, (socklen_t)length) < 0) {
    answer = -errno;
  }
  close(fd);
  return answer;
}
