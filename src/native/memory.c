// What the C library does with memory that was freed. Read first: mallopt(3).
#include "weft.h"

#include <malloc.h>

#define LARGE_BYTES (128 * 1024) // glibc's own first choice

// Buffers of at least 128 KiB go back to the kernel when they are freed, for the rest of the life of the process. glibc raises
// its limit to the largest buffer that it saw freed; from then on buffers like it come from the heap, which small neighbours
// keep from shrinking: a daemon whose captures came and went held 60 MB that nobody used, and grew for hours.
// Other C libraries return large buffers anyway.
// #syscalls: brk mmap munmap
int return_freed_memory(struct call *call) {
  (void)call;
#ifdef M_MMAP_THRESHOLD
  return mallopt(M_MMAP_THRESHOLD, LARGE_BYTES) == 1 ? 0 : -EINVAL;
#else
  return 0;
#endif
}
