// Network namespaces, and starting a program inside one. setns(2) moves only the calling thread, and every visit ends
// within the call that began it, so no other thread (libuv's pool, the worker) ever sees a foreign namespace.
// Read first: setns(2), namespaces(7), mount_namespaces(7), ip-netns(8).
#include "weft.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/if.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define NO_TOKEN INT_MAX
#define OWN_NAMESPACE "/proc/thread-self/ns/net"
#define IPROUTE_DIRECTORY "/run/netns" // what `ip netns` lists; iproute2 makes it a shared mount
#define OUTER_MOUNTS "/proc/1/ns/mnt"
#define OUTER_ROOT "/proc/1/root"

// #syscalls: openat setns close
int namespace_visit(int ns_fd) {
  if (ns_fd == NO_NAMESPACE) return NO_TOKEN;
  int home = open(OWN_NAMESPACE, O_RDONLY | O_CLOEXEC);
  if (home < 0) return -errno;
  if (setns(ns_fd, CLONE_NEWNET) == 0) return home;
  int error = errno;
  close(home);
  return -error;
}

void namespace_leave(int token) {
  if (token == NO_TOKEN) return;
  int error = errno;
  // A daemon that goes on in somebody else's namespace would configure the wrong network: nothing is better than that.
  if (setns(token, CLONE_NEWNET) != 0) abort();
  close(token);
  errno = error;
}

// #syscalls: socket
int control_socket(int ns_fd) {
  int token = namespace_visit(ns_fd);
  if (token < 0) return token;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); // any family answers interface ioctls; this one always exists
  int error = errno;
  namespace_leave(token);
  return fd < 0 ? -error : fd;
}

// #syscalls: ioctl
int interface_index(int socket, const char *name) {
  struct ifreq request = {0};
  if (strlen(name) >= IFNAMSIZ) return -ENODEV;
  strcpy(request.ifr_name, name);
  return ioctl(socket, SIOCGIFINDEX, &request) == 0 ? request.ifr_ifindex : -errno;
}

// #syscalls: openat ioctl close
int open_namespace(struct call *call) {
  char path[PATH_MAX];
  if (!take_string(call, 0, path, sizeof path)) return -EINVAL;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); // NONBLOCK: the path may name a FIFO
  if (fd < 0) return -errno;
  if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
    close(fd);
    return -EINVAL;
  }
  return own(fd, OWNED_NAMESPACE);
}

static int loopback_up(void) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  struct ifreq request = {.ifr_name = "lo"};
  int answer = 0;
  if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
    request.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) answer = -errno;
  } else {
    answer = -errno;
  }
  close(fd);
  return answer;
}

// What iproute2 does for its directory: a shared mount, so that a namespace that appears or goes here does so in every
// mount namespace too. Other directories are left as they are.
// #syscalls: mkdir mount openat fchmod flock close
static int prepare_directory(const char *path) {
  if (strncmp(path, IPROUTE_DIRECTORY "/", sizeof IPROUTE_DIRECTORY) != 0) return 0;
  bool made = mkdir(IPROUTE_DIRECTORY, 0755) == 0;
  if (!made && errno != EEXIST) return -errno;
  int lock = open(IPROUTE_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock < 0) return -errno;
  int answer = 0;
  if (made) fchmod(lock, 0755); // everybody may list them, whatever the umask
  flock(lock, LOCK_EX | LOCK_NB); // against an `ip netns add` at the same moment; but never wait for a stranger
  if (mount("", IPROUTE_DIRECTORY, "none", MS_SHARED | MS_REC, NULL) != 0) {
    // EINVAL: it is a plain directory still. Bind it to itself, then it is a mount that can be shared.
    if (errno != EINVAL || mount(IPROUTE_DIRECTORY, IPROUTE_DIRECTORY, "none", MS_BIND | MS_REC, NULL) != 0 ||
        mount("", IPROUTE_DIRECTORY, "none", MS_SHARED | MS_REC, NULL) != 0) {
      answer = -errno;
    }
  }
  close(lock);
  return answer;
}

// In a thread that afterwards dies with the new namespace as its own: the caller's thread never moves.
// #syscalls: openat close unshare mount ioctl socket unlink
static int make_namespace(const char *path) {
  int answer = prepare_directory(path);
  if (answer < 0) return answer;
  int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
  if (file < 0) return -errno;
  close(file);
  if (unshare(CLONE_NEWNET) != 0) answer = -errno;
  if (answer == 0) answer = loopback_up();
  if (answer == 0 && mount(OWN_NAMESPACE, path, "none", MS_BIND, NULL) != 0) answer = -errno;
  if (answer < 0) unlink(path);
  return answer;
}

static bool is_namespace(const char *path) {
  struct statfs mounted;
  return statfs(path, &mounted) == 0 && mounted.f_type == NSFS_MAGIC;
}

// #syscalls: statfs newfstatat umount2 unlink
static int unmake_namespace(const char *path) {
  struct stat file;
  bool unmounted = false;
  for (int layer = 0; layer < 16; layer++) { // more than one layer when two programs mounted on the same name
    if (lstat(path, &file) != 0) return -errno;
    if (!S_ISREG(file.st_mode)) return -EINVAL; // never through a symbolic link
    if (!is_namespace(path)) break;
    if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) != 0) return -errno;
    unmounted = true;
  }
  if (!unmounted && (file.st_size != 0 || (file.st_mode & 0777) != 0)) return -EINVAL;
  return unlink(path) == 0 ? 0 : -errno;
}

// A service with a sandbox (and whatever `ip netns exec` starts) has a mount namespace of its own: what is mounted in it
// is not seen outside, so `ip netns` and `weft exec` would find an empty file. What is mounted outside is seen inside.
// Therefore namespaces are made and removed in the mount namespace of process 1, when the directory of `path` is the same
// one there (in a container that shares only the processes of its host it is not). Returns that mount namespace, or -1
// when there is none, it is the caller's own, or may not be entered.
// #syscalls: openat newfstatat close
static int outer_mounts(const char *path) {
  char there[PATH_MAX + sizeof OUTER_ROOT];
  struct stat own, outer;
  if (stat("/proc/self/ns/mnt", &own) != 0 || stat(OUTER_MOUNTS, &outer) != 0) return -1;
  if (own.st_dev == outer.st_dev && own.st_ino == outer.st_ino) return -1;
  snprintf(there, sizeof there, "%s%s", OUTER_ROOT, path);
  char *here = there + strlen(OUTER_ROOT);
  do { // the nearest directory that exists
    char *slash = strrchr(here, '/');
    if (slash == NULL || slash == here) return -1;
    *slash = '\0';
  } while (stat(here, &own) != 0);
  if (stat(there, &outer) != 0 || own.st_dev != outer.st_dev || own.st_ino != outer.st_ino) return -1;
  return open(OUTER_MOUNTS, O_RDONLY | O_CLOEXEC);
}

struct errand {
  int (*work)(const char *path);
  const char *path;
  int mounts; // where to do it: a mount namespace, or -1 for the caller's
  int answer;
};

// unshare(CLONE_FS): root and working directory are shared by all threads, and setns(2) refuses to change those.
// #syscalls: unshare setns
static void *do_errand(void *data) {
  struct errand *errand = data;
  if (errand->mounts >= 0 && (unshare(CLONE_FS) != 0 || setns(errand->mounts, CLONE_NEWNS) != 0)) {
    errand->answer = -errno;
  } else {
    errand->answer = errand->work(errand->path);
  }
  return NULL;
}

// #syscalls: clone clone3
static int in_thread(int (*work)(const char *), const char *path, int mounts) {
  struct errand errand = {.work = work, .path = path, .mounts = mounts};
  pthread_t thread;
  int error = pthread_create(&thread, NULL, do_errand, &errand);
  if (error != 0) return -error;
  pthread_join(thread, NULL);
  return errand.answer;
}

// #syscalls: close
int create_namespace(struct call *call) {
  char path[PATH_MAX];
  if (!take_string(call, 0, path, sizeof path) || path[0] != '/') return -EINVAL;
  int mounts = outer_mounts(path);
  if (mounts < 0) return in_thread(make_namespace, path, -1);
  int answer = in_thread(make_namespace, path, mounts);
  bool hidden = answer == 0 && !is_namespace(path); // mounts of the outer namespace do not come through
  if (hidden) in_thread(unmake_namespace, path, mounts);
  close(mounts);
  return hidden || answer == -EPERM ? in_thread(make_namespace, path, -1) : answer;
}

struct birth {
  int fd; // of the new namespace, or -errno
};

// #syscalls: unshare openat ioctl socket close
static void *make_nameless(void *data) {
  struct birth *birth = data;
  birth->fd = -EIO;
  int answer = unshare(CLONE_NEWNET) == 0 ? loopback_up() : -errno;
  if (answer == 0) {
    int fd = open(OWN_NAMESPACE, O_RDONLY | O_CLOEXEC);
    answer = fd >= 0 ? fd : -errno;
  }
  birth->fd = answer;
  return NULL;
}

// A namespace that only the descriptor names: whatever ends the process, the kernel takes it back with all that is in it.
// #syscalls: clone clone3
int make_namespace_without_name(struct call *call) {
  (void)call;
  struct birth birth;
  pthread_t thread;
  int error = pthread_create(&thread, NULL, make_nameless, &birth);
  if (error != 0) return -error;
  pthread_join(thread, NULL);
  if (birth.fd < 0) return birth.fd;
  return own(birth.fd, OWNED_NAMESPACE);
}

// Removes what createNamespace (or `ip netns add`) made, and nothing else: a namespace mount, or the empty file without
// permissions that is left when a creation was interrupted before its mount.
// #syscalls: newfstatat close
int remove_namespace(struct call *call) {
  char path[PATH_MAX];
  struct stat file;
  if (!take_string(call, 0, path, sizeof path) || path[0] != '/') return -EINVAL;
  int mounts = outer_mounts(path);
  if (mounts < 0) return unmake_namespace(path);
  int answer = in_thread(unmake_namespace, path, mounts);
  close(mounts);
  return lstat(path, &file) == 0 ? unmake_namespace(path) : answer;
}

// From now on mounts of this thread are seen by nobody else; those of others still come in. For a process that is about to
// become another program: execve(2) leaves only this thread.
// #syscalls: unshare mount
int private_mounts(struct call *call) {
  (void)call;
  if (unshare(CLONE_NEWNS) != 0) return -errno;
  return mount("", "/", "none", MS_SLAVE | MS_REC, NULL) == 0 ? 0 : -errno;
}

// #syscalls: mount
int bind_mount(struct call *call) {
  char from[PATH_MAX], to[PATH_MAX];
  if (!take_string(call, 0, from, sizeof from) || !take_string(call, 1, to, sizeof to) || from[0] != '/' ||
      to[0] != '/') {
    return -EINVAL;
  }
  return mount(from, to, "none", MS_BIND, NULL) == 0 ? 0 : -errno;
}

// #syscalls: setns
int enter_namespace(struct call *call) {
  int fd;
  if (!take_int(call, 0, 0, INT_MAX, &fd)) return -EINVAL;
  return setns(fd, CLONE_NEWNET) == 0 ? 0 : -errno;
}

// #syscalls: newfstatat
int namespace_identity(struct call *call) {
  int fd;
  napi_typedarray_type type;
  size_t length;
  void *data;
  struct stat file;
  if (!take_int(call, 0, 0, INT_MAX, &fd)) return -EINVAL;
  if (napi_get_typedarray_info(call->env, call->arguments[1], &type, &length, &data, NULL, NULL) != napi_ok ||
      type != napi_float64_array || length < 2 || data == NULL) {
    return -EINVAL;
  }
  if (fstat(fd, &file) != 0) return -errno;
  double *out = data;
  out[0] = (double)file.st_dev;
  out[1] = (double)file.st_ino;
  return 0;
}

// #syscalls: pidfd_open
int open_process(struct call *call) {
  int pid;
  if (!take_int(call, 0, 1, INT_MAX, &pid)) return -EINVAL;
  return own((int)syscall(SYS_pidfd_open, pid, 0), OWNED_PROCESS);
}

static void free_arguments(char **list) {
  for (char **each = list; *each != NULL; each++) free(*each);
  free(list);
}

// file, args -> a NULL-terminated argv, or NULL. Getters of a strange array may run JavaScript and throw: swallowed.
static char **copy_arguments(struct call *call, const char *file) {
  const uint32_t most = 65536; // far above what ARG_MAX admits
  uint32_t count;
  bool is_array;
  if (napi_is_array(call->env, call->arguments[1], &is_array) != napi_ok || !is_array) return NULL;
  if (napi_get_array_length(call->env, call->arguments[1], &count) != napi_ok || count > most) return NULL;
  char **list = calloc(count + 2, sizeof *list);
  if (list == NULL) return NULL;
  bool whole = (list[0] = strdup(file)) != NULL;
  for (uint32_t i = 0; whole && i < count; i++) {
    napi_value element;
    size_t bytes;
    whole = napi_get_element(call->env, call->arguments[1], i, &element) == napi_ok &&
            napi_get_value_string_utf8(call->env, element, NULL, 0, &bytes) == napi_ok &&
            (list[i + 1] = malloc(bytes + 1)) != NULL && string_of(call->env, element, list[i + 1], bytes + 1);
  }
  if (whole) return list;
  free_arguments(list);
  napi_value thrown;
  napi_get_and_clear_last_exception(call->env, &thrown);
  return NULL;
}

// Node ignores SIGPIPE, may block signals, and makes stdio non-blocking and close-on-exec: a program expects none of
// that. What was changed is kept in `usual`, for the case that the program cannot be started.
struct usual {
  bool ignored[NSIG];
  sigset_t mask;
  int status[3], descriptor[3]; // F_GETFL, F_GETFD of stdin, stdout, stderr
};

static void make_usual(struct usual *before) {
  struct sigaction action, standard = {.sa_handler = SIG_DFL};
  sigset_t none;
  for (int number = 1; number < NSIG; number++) {
    before->ignored[number] = sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
    if (before->ignored[number]) sigaction(number, &standard, NULL);
  }
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, &before->mask);
  for (int fd = 0; fd < 3; fd++) {
    before->status[fd] = fcntl(fd, F_GETFL);
    before->descriptor[fd] = fcntl(fd, F_GETFD);
    if (before->status[fd] >= 0) fcntl(fd, F_SETFL, before->status[fd] & ~O_NONBLOCK);
    if (before->descriptor[fd] >= 0) fcntl(fd, F_SETFD, before->descriptor[fd] & ~FD_CLOEXEC);
  }
}

static void undo_usual(const struct usual *before) {
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  for (int fd = 0; fd < 3; fd++) {
    if (before->status[fd] >= 0) fcntl(fd, F_SETFL, before->status[fd]);
    if (before->descriptor[fd] >= 0) fcntl(fd, F_SETFD, before->descriptor[fd]);
  }
  pthread_sigmask(SIG_SETMASK, &before->mask, NULL);
  for (int number = 1; number < NSIG; number++) {
    if (before->ignored[number]) sigaction(number, &ignore, NULL);
  }
}

// #syscalls: execve rt_sigaction rt_sigprocmask fcntl
int exec_program(struct call *call) {
  char file[PATH_MAX];
  if (!take_string(call, 0, file, sizeof file) || file[0] == '\0') return -EINVAL;
  char **list = copy_arguments(call, file);
  if (list == NULL) return -EINVAL;
  struct usual before;
  make_usual(&before);
  execvp(file, list);
  int error = errno; // still here
  undo_usual(&before);
  free_arguments(list);
  return -error;
}
