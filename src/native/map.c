// Memory that outlives the process: a file mapped into the thread that asks. Read first: mmap(2), fallocate(2), tmpfs(5).
#include "weft.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct mapping {
  void *memory;
  size_t bytes;
};

// A regular file of this user that nobody reaches by another name; 0600 when it is new. Root also takes one of the user that the
// service runs as. Returns a descriptor or -errno.
static int open_file(const char *path, bool create) {
  if (path[0] != '/') return -EINVAL;
  int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (create ? O_CREAT : 0), 0600);
  if (fd < 0) return -errno;
  struct stat found;
  int answer = fstat(fd, &found) == 0 ? 0 : -errno;
  bool is_ours = geteuid() == 0 || found.st_uid == geteuid();
  if (answer == 0 && (!S_ISREG(found.st_mode) || !is_ours || found.st_nlink != 1)) answer = -EPERM;
  if (answer == 0) return fd;
  close(fd);
  return answer;
}

// Lengthens a file that is too short, by a hole, and maps it. It is never shortened: another thread may have the end mapped.
static int map_bytes(int fd, size_t bytes, void **memory) {
  struct stat found;
  if (fstat(fd, &found) < 0) return -errno;
  if ((size_t)found.st_size < bytes && ftruncate(fd, (off_t)bytes) < 0) return -errno;
  *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return *memory == MAP_FAILED ? -errno : 0;
}

static void unmap(napi_env env, void *memory, void *hint) {
  (void)env, (void)memory;
  struct mapping *mapping = hint;
  munmap(mapping->memory, mapping->bytes);
  free(mapping);
}

// #syscalls: openat fstat ftruncate mmap munmap close geteuid
int map_file(struct call *call) {
  char path[PATH_MAX];
  int bytes;
  if (!take_string(call, 0, path, sizeof path) || !take_int(call, 1, 1, MAX_MAPPED_BYTES, &bytes)) return -EINVAL;
  struct mapping *mapping = malloc(sizeof *mapping);
  if (mapping == NULL) return -ENOMEM;
  mapping->bytes = (size_t)bytes;
  int fd = open_file(path, true);
  int answer = fd < 0 ? fd : map_bytes(fd, mapping->bytes, &mapping->memory);
  if (fd >= 0) close(fd); // the mapping keeps the file
  if (answer < 0) {
    free(mapping);
    return answer;
  }
  if (napi_create_external_arraybuffer(call->env, mapping->memory, mapping->bytes, unmap, mapping, &call->result) == napi_ok)
    return 0;
  call->result = NULL;
  unmap(call->env, NULL, mapping);
  return -ENOTSUP;
}

// Claims room for a part of a file, so that touching its mapping cannot fail. File systems that cannot say so are trusted.
// #syscalls: openat fstat fallocate close geteuid
int claim_file(struct call *call) {
  char path[PATH_MAX];
  int at, bytes;
  if (!take_string(call, 0, path, sizeof path) || !take_int(call, 1, 0, MAX_MAPPED_BYTES, &at)) return -EINVAL;
  if (!take_int(call, 2, 1, MAX_CLAIMED_BYTES, &bytes)) return -EINVAL;
  int fd = open_file(path, false);
  if (fd < 0) return fd;
  int answer = fallocate(fd, FALLOC_FL_KEEP_SIZE, at, bytes) == 0 || errno == EOPNOTSUPP ? 0 : -errno;
  close(fd);
  return answer;
}
