/* frame-count IFNAME WARMUP_SECONDS SECONDS: how many frames the interface received in a window of time.
 *
 * Reads the kernel's own counters (/proc/net/dev) before and after sleeping, so that counting costs the measured path
 * nothing. Prints {"received": frames, "dropped": frames, "seconds": s}. */
#define _GNU_SOURCE
#include "bench.h"

struct counters {
  unsigned long long received, dropped;
  uint64_t at;
};

static struct counters read_counters(const char *ifname) {
  FILE *file = fopen("/proc/self/net/dev", "r");
  if (file == NULL) fail_call("/proc/self/net/dev");
  char line[512];
  struct counters found = {0};
  int seen = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    char name[64];
    unsigned long long bytes, errors;
    if (sscanf(line, " %63[^:]: %llu %llu %llu %llu", name, &bytes, &found.received, &errors, &found.dropped) == 5 &&
        strcmp(name, ifname) == 0) {
      seen = 1;
      break;
    }
  }
  found.at = now_ns();
  fclose(file);
  if (!seen) fail("%s: no such interface", ifname);
  return found;
}

int main(int argc, char **argv) {
  if (argc != 4) fail("usage: frame-count IFNAME WARMUP_SECONDS SECONDS");
  uint64_t warmup = seconds_ns(argv[2]), duration = seconds_ns(argv[3]);
  sleep_until_ns(now_ns() + warmup);
  struct counters before = read_counters(argv[1]);
  sleep_until_ns(before.at + duration);
  struct counters after = read_counters(argv[1]);
  printf("{\"received\": %llu, \"dropped\": %llu, \"seconds\": %.6f}\n", after.received - before.received,
         after.dropped - before.dropped, (double)(after.at - before.at) / 1e9);
  return 0;
}
