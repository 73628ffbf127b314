// The Internet checksum of a range (RFC 1071): the folded one's complement sum, not inverted, as if the range were
// 16-bit big-endian words. The sum is computed in machine words and turned round at the end, which section 2(B) of the
// RFC shows to be the same. An odd last byte counts as the high half of a word.
#include "burst.h"

static uint32_t fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint32_t)((sum & 0xffff) + (sum >> 16));
}

static uint32_t sum_range(const uint8_t *bytes, size_t length) {
  uint64_t even = 0, odd = 0; // two sums of 32-bit halves: no carry can be lost below 2^32 words
  uint64_t pair;
  for (; length >= 8; bytes += 8, length -= 8) {
    memcpy(&pair, bytes, 8);
    even += pair & 0xffffffff;
    odd += pair >> 32;
  }
  pair = 0;
  memcpy(&pair, bytes, length); // the tail, padded with zeros behind it
  even += pair & 0xffffffff;
  odd += pair >> 32;
  uint32_t sum = fold((uint64_t)fold(even) + fold(odd));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  sum = (sum >> 8) | (sum & 0xff) << 8;
#endif
  return sum;
}

int checksum(struct call *call) {
  int at, length, initial;
  if (!take_int(call, 0, 0, INT32_MAX, &at) || !take_int(call, 1, 0, INT32_MAX, &length) ||
      !take_int(call, 2, 0, UINT32_MAX, &initial) || !burst_alive(call) || !burst_holds(call->state, at, length)) {
    return -EINVAL;
  }
  return (int)fold((uint64_t)(uint32_t)initial + sum_range(call->state->slab + at, (size_t)length));
}
