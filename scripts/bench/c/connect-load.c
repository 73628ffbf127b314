/* connect-load server PORT SECONDS
 * connect-load client ADDRESS PORT SECONDS CONCURRENT [CONNECTIONS_PER_SECOND]
 *
 * Short connections, each with one HTTP/1.0 question and answer; the server closes first, so that the client's ports are free
 * again at once and the waiting (TIME_WAIT) is where it is on the web: at the server.
 *
 * Without a rate the client keeps CONCURRENT connections open, one after the other: the answer is how many go through. With a
 * rate it opens that many per second whatever becomes of them, up to CONCURRENT at a time; what it could not even open then
 * counts as skipped. A connection that is not through after PATIENCE_NS has failed. After the time is up nothing is opened any
 * more, and what is open may still end.
 *
 * Prints {"started": n, "completed": n, "failed": n, "skipped": n, "seconds": s, "p50": us, "p99": us, "max": us,
 * "why": "errno of the first failure, or nothing"}. */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 512
#define MOST_OPEN 60000
#define SPARE_FILES 16
#define PATIENCE_NS (5 * 1000000000ull)
#define SCAN_NS 100000000ull
/* Opened or accepted in one go, so that neither direction starves the other. */
#define AT_ONCE 64

static const char question[] = "GET / HTTP/1.0\r\nHost: bench\r\n\r\n";
static const char answer[] = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n";

/* As many descriptors as the hard limit allows; returns how many connections that makes. */
static unsigned allow_many_files(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) fail_call("RLIMIT_NOFILE");
  if (limit.rlim_max > MOST_OPEN + SPARE_FILES) limit.rlim_max = MOST_OPEN + SPARE_FILES;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) fail_call("RLIMIT_NOFILE");
  return (unsigned)limit.rlim_cur - SPARE_FILES;
}

static void watch(int epoll, int operation, int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(epoll, operation, fd, &event) < 0) fail_call("epoll_ctl");
}

/* The question is one segment, and nothing of it is needed but that it came. */
static void serve_one(int fd) {
  char buffer[256];
  ssize_t length = recv(fd, buffer, sizeof buffer, 0);
  if (length < 0 && errno == EAGAIN) return;
  if (length > 0) send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
  close(fd);
}

static int serve(const char *port, uint64_t duration) {
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number(port, 1, 65535))};
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
  if (listener < 0) fail_call("socket");
  if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) fail_call("SO_REUSEADDR");
  if (bind(listener, (struct sockaddr *)&here, sizeof here) < 0) fail_call("bind");
  if (listen(listener, 65535) < 0) fail_call("listen");
  allow_many_files();
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) fail_call("epoll_create1");
  watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
  puts("ready");
  fflush(stdout);
  static struct epoll_event events[EVENTS];
  for (uint64_t start = now_ns(); now_ns() - start < duration;) {
    int count = epoll_wait(epoll, events, EVENTS, 500);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd != listener) {
        serve_one(events[i].data.fd);
        continue;
      }
      for (int n = 0; n < AT_ONCE; n++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) break;
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
      }
    }
  }
  return 0;
}

struct connection {
  uint64_t since; /* 0: there is none with this descriptor */
  unsigned received;
};

static struct connection connections[MOST_OPEN + SPARE_FILES];
static struct sockaddr_in server;
static int epoll_fd, top;
static uint64_t started, completed, failed, skipped, alive;
static int first_error;
static uint32_t *times;
static size_t times_size;

static void fail_connection(int fd, int error) {
  if (failed++ == 0) first_error = error;
  if (fd < 0) return;
  close(fd);
  connections[fd].since = 0;
  alive--;
}

static void open_connection(void) {
  started++;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    fail_connection(-1, errno);
    return;
  }
  connections[fd] = (struct connection){.since = now_ns()};
  alive++;
  if (fd > top) top = fd;
  if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) {
    fail_connection(fd, errno);
    return;
  }
  watch(epoll_fd, EPOLL_CTL_ADD, fd, EPOLLOUT);
}

static void complete(int fd) {
  uint64_t time = now_ns() - connections[fd].since;
  if (completed == times_size) {
    times_size = times_size == 0 ? 1 << 20 : times_size * 2;
    times = realloc(times, times_size * sizeof *times);
    if (times == NULL) fail_call("realloc");
  }
  times[completed++] = (uint32_t)(time / 1000);
  close(fd);
  connections[fd].since = 0;
  alive--;
}

static void advance(int fd, uint32_t events) {
  char buffer[512];
  if (events & EPOLLOUT) {
    if (send(fd, question, sizeof question - 1, MSG_NOSIGNAL) < 0) {
      fail_connection(fd, errno);
      return;
    }
    watch(epoll_fd, EPOLL_CTL_MOD, fd, EPOLLIN);
    return;
  }
  for (;;) {
    ssize_t length = recv(fd, buffer, sizeof buffer, 0);
    if (length < 0 && errno == EAGAIN) return;
    if (length < 0) {
      fail_connection(fd, errno);
      return;
    }
    if (length == 0) break;
    connections[fd].received += (unsigned)length;
  }
  if (connections[fd].received == sizeof answer - 1) {
    complete(fd);
  } else {
    fail_connection(fd, EPROTO);
  }
}

static void fail_late_ones(uint64_t now) {
  for (int fd = 0; fd <= top; fd++) {
    if (connections[fd].since != 0 && now - connections[fd].since > PATIENCE_NS) fail_connection(fd, ETIMEDOUT);
  }
}

/* Opens what is due at `now`; returns when to look again, in milliseconds. */
static int open_due(uint64_t start, uint64_t now, uint64_t most, double rate) {
  if (rate == 0) {
    for (int n = 0; n < AT_ONCE && alive < most; n++) open_connection();
    return alive < most ? 0 : 100;
  }
  uint64_t due = (uint64_t)((double)(now - start) / 1e9 * rate);
  for (int n = 0; n < AT_ONCE && started + skipped < due; n++) {
    if (alive < most) {
      open_connection();
    } else {
      skipped++;
    }
  }
  return started + skipped < due ? 0 : 1;
}

static int ascending(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return a < b ? -1 : a > b;
}

/* Of the sorted times; 0 when there is none. */
static uint32_t time_at(unsigned percent) {
  return completed == 0 ? 0 : times[(completed - 1) * percent / 100];
}

static int ask(int argc, char **argv) {
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)number(argv[3], 1, 65535))};
  if (inet_pton(AF_INET, argv[2], &server.sin_addr) != 1) fail("%s: not an IPv4 address", argv[2]);
  uint64_t duration = seconds_ns(argv[4]), most = (uint64_t)number(argv[5], 1, MOST_OPEN);
  double rate = argc > 6 ? number(argv[6], 1, 1e7) : 0;
  unsigned files = allow_many_files();
  if (most > files) most = files;
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) fail_call("epoll_create1");

  static struct epoll_event events[EVENTS];
  uint64_t start = now_ns(), end = start + duration, scanned = start, now = start;
  while (now < end || alive > 0) {
    int patience = now < end ? open_due(start, now, most, rate) : 100;
    int count = epoll_wait(epoll_fd, events, EVENTS, patience);
    for (int i = 0; i < count; i++) {
      if (connections[events[i].data.fd].since != 0) advance(events[i].data.fd, events[i].events);
    }
    now = now_ns();
    if (now - scanned > SCAN_NS) {
      fail_late_ones(now);
      scanned = now;
    }
  }
  double seconds = (double)(now - start) / 1e9;
  if (completed > 0) qsort(times, completed, sizeof *times, ascending);
  printf("{\"started\": %llu, \"completed\": %llu, \"failed\": %llu, \"skipped\": %llu, \"seconds\": %.6f, "
         "\"p50\": %u, \"p99\": %u, \"max\": %u, \"why\": \"%s\"}\n",
         (unsigned long long)started, (unsigned long long)completed, (unsigned long long)failed,
         (unsigned long long)skipped, seconds, time_at(50), time_at(99), time_at(100), failed == 0 ? "" : strerror(first_error));
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "server") == 0) return serve(argv[2], seconds_ns(argv[3]));
  if ((argc == 6 || argc == 7) && strcmp(argv[1], "client") == 0) return ask(argc, argv);
  fail("usage: connect-load server PORT SECONDS | client ADDRESS PORT SECONDS CONCURRENT [CONNECTIONS_PER_SECOND]");
}
