/* What the benchmark's C programs share: argument parsing, a clock, and one way to fail.
 *
 * Every program prints one line of JSON on success and one line on stderr with exit status 1 on failure,
 * and ends by itself: none of them loops without a deadline, except tap-loop, whose parent's death kills it. */
#ifndef WEFT_BENCH_H
#define WEFT_BENCH_H

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

__attribute__((noreturn, format(printf, 1, 2))) static inline void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

/* Fails with the name of the call and the sentence of errno. */
__attribute__((noreturn)) static inline void fail_call(const char *call) { fail("%s: %s", call, strerror(errno)); }

static inline uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline void sleep_until_ns(uint64_t deadline) {
  struct timespec time = {.tv_sec = (time_t)(deadline / 1000000000u), .tv_nsec = (long)(deadline % 1000000000u)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) {
  }
}

/* A number between low and high, or the end of the program. */
static inline double number(const char *text, double low, double high) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end != '\0' || !(value >= low && value <= high)) {
    fail("%s: a number between %g and %g was expected", text, low, high);
  }
  return value;
}

static inline uint64_t seconds_ns(const char *text) { return (uint64_t)(number(text, 0, 3600) * 1e9); }

#endif
