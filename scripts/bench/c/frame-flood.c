/* frame-flood -i IFNAME -d MAC -s MAC -f IPV4 -t IPV4
 *             [-l BYTES] [-T SECONDS] [-n FRAMES] [-r FRAMES_PER_SECOND] [-D COUNT] [-S COUNT] [-F COUNT]
 *             [-V VNI -m MAC -o IPV4 -O IPV4 [-P COUNT]]
 *
 * Pushes Ethernet frames (IPv4, UDP) of BYTES (without the checksum; 60, the minimum, unless told otherwise) out of an
 * interface through AF_PACKET, past the queueing discipline. -D and -S let the destination or source MAC walk through COUNT
 * consecutive addresses, beginning with the given one; -F lets the frames belong to COUNT flows, one after the other: 16
 * source addresses, then 2048 source ports, then destination addresses, from the given ones on. -V puts each frame into VXLAN
 * (RFC 7348), to the MAC and address -m and -o, from COUNT consecutive addresses beginning with -O: source MAC k always from address
 * k modulo COUNT. Ends after SECONDS or FRAMES, whichever is first.
 * Prints {"sent": frames the driver took, "refused": turned away by a full queue, "seconds": s}. */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define BATCH 64
#define MIN_FRAME_BYTES 60
#define MAX_FRAME_BYTES 1514
#define IPV4_AT 14
#define UDP_AT 34
#define FIRST_PORT 4000
#define FLOW_SOURCES 16
#define FLOW_PORTS 2048
#define VXLAN_PORT 4789
#define VXLAN_AT 42
#define OUTER_BYTES 50

static unsigned char wires[BATCH][OUTER_BYTES + MAX_FRAME_BYTES];
/* The frames themselves, behind their outer headers. */
static unsigned char *frames[BATCH];

static void parse_mac(const char *text, unsigned char *mac) {
  unsigned p[6];
  char rest;
  int found = sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", p, p + 1, p + 2, p + 3, p + 4, p + 5, &rest);
  if (found != 6) fail("%s: not a MAC address", text);
  for (int i = 0; i < 6; i++) mac[i] = (unsigned char)p[i];
}

static void put16(unsigned char *at, unsigned value) {
  at[0] = (unsigned char)(value >> 8);
  at[1] = (unsigned char)value;
}

struct plan {
  const char *ifname;
  unsigned char to[6], from[6];
  uint32_t ip_from, ip_to, destinations, sources, flows;
  unsigned bytes;
  uint64_t duration, wanted;
  double rate; /* frames per second; 0: as fast as possible */
  int has_outer;
  unsigned char outer_to[6];
  uint32_t vni, outer_ip_to, outer_ip_from, vteps;
};

/* RFC 1071 over the 20 bytes of an IPv4 header. */
static void finish_header(unsigned char *ip) {
  uint32_t sum = 0;
  put16(ip + 10, 0);
  for (int i = 0; i < 20; i += 2) sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  put16(ip + 10, ~sum & 0xffff);
}

/* RFC 791 header and RFC 768 header; the UDP checksum is left out (zero), which IPv4 allows. */
static void write_frame(unsigned char *frame, const struct plan *plan) {
  memset(frame, 0, plan->bytes);
  memcpy(frame, plan->to, 6);
  memcpy(frame + 6, plan->from, 6);
  put16(frame + 12, 0x0800);
  unsigned char *ip = frame + IPV4_AT;
  ip[0] = 0x45;
  put16(ip + 2, plan->bytes - IPV4_AT);
  ip[8] = 64;
  ip[9] = 17;
  memcpy(ip + 12, &plan->ip_from, 4);
  memcpy(ip + 16, &plan->ip_to, 4);
  finish_header(ip);
  unsigned char *udp = frame + UDP_AT;
  put16(udp, FIRST_PORT);
  put16(udp + 2, 9);
  put16(udp + 4, plan->bytes - UDP_AT);
}

/* Ethernet, IPv4 (DF), UDP (no checksum) and VXLAN (RFC 7348 section 5) in front of a frame; `index` makes the source port. */
static void write_outer(unsigned char *wire, const struct plan *plan, unsigned index) {
  static const unsigned char from[6] = {0x02, 0xb2};
  memcpy(wire, plan->outer_to, 6);
  memcpy(wire + 6, from, 6);
  put16(wire + 12, 0x0800);
  unsigned char *ip = wire + IPV4_AT;
  ip[0] = 0x45;
  put16(ip + 2, OUTER_BYTES - IPV4_AT + plan->bytes);
  put16(ip + 6, 0x4000);
  ip[8] = 64;
  ip[9] = 17;
  memcpy(ip + 16, &plan->outer_ip_to, 4);
  unsigned char *udp = wire + UDP_AT;
  put16(udp, 49152 + index);
  put16(udp + 2, VXLAN_PORT);
  put16(udp + 4, OUTER_BYTES - UDP_AT + plan->bytes);
  wire[VXLAN_AT] = 8;
  put16(wire + VXLAN_AT + 4, plan->vni >> 8);
  wire[VXLAN_AT + 6] = (unsigned char)plan->vni;
}

/* Says from which of the VTEPs a frame comes. */
static void choose_vtep(unsigned char *wire, const struct plan *plan, uint32_t index) {
  uint32_t from = htonl(ntohl(plan->outer_ip_from) + index % plan->vteps);
  memcpy(wire + IPV4_AT + 12, &from, 4);
  finish_header(wire + IPV4_AT);
}

/* Writes base + index into the low 24 bits of a MAC address. */
static void walk(unsigned char *mac, const unsigned char *base, uint32_t index) {
  uint32_t low = ((uint32_t)base[3] << 16 | (uint32_t)base[4] << 8 | base[5]) + index;
  mac[3] = (unsigned char)(low >> 16);
  mac[4] = (unsigned char)(low >> 8);
  mac[5] = (unsigned char)low;
}

/* Makes a frame one of flow `index`. */
static void choose_flow(unsigned char *frame, const struct plan *plan, uint32_t index) {
  unsigned char *ip = frame + IPV4_AT;
  uint32_t from = htonl(ntohl(plan->ip_from) + index % FLOW_SOURCES);
  uint32_t to = htonl(ntohl(plan->ip_to) + index / FLOW_SOURCES / FLOW_PORTS);
  memcpy(ip + 12, &from, 4);
  memcpy(ip + 16, &to, 4);
  finish_header(ip);
  put16(frame + UDP_AT, FIRST_PORT + index / FLOW_SOURCES % FLOW_PORTS);
}

static int open_interface(const char *ifname) {
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(ifname)};
  if (address.sll_ifindex == 0) fail_call(ifname);
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* protocol 0: never receives */
  if (fd < 0) fail_call("socket");
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) fail_call("bind");
  int on = 1;
  if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) < 0) fail_call("PACKET_QDISC_BYPASS");
  return fd;
}

static uint32_t parse_ipv4(const char *text) {
  struct in_addr address;
  if (inet_pton(AF_INET, text, &address) != 1) fail("%s: not an IPv4 address", text);
  return address.s_addr;
}

static struct plan parse_options(int argc, char **argv) {
  struct plan plan = {
      .bytes = MIN_FRAME_BYTES, .destinations = 1, .sources = 1, .flows = 1, .vteps = 1, .duration = seconds_ns("3600"), .wanted = UINT64_MAX};
  for (int option; (option = getopt(argc, argv, "i:d:s:f:t:l:T:n:r:D:S:F:V:m:o:O:P:")) != -1;) {
    switch (option) {
    case 'i': plan.ifname = optarg; break;
    case 'd': parse_mac(optarg, plan.to); break;
    case 's': parse_mac(optarg, plan.from); break;
    case 'f': plan.ip_from = parse_ipv4(optarg); break;
    case 't': plan.ip_to = parse_ipv4(optarg); break;
    case 'l': plan.bytes = (unsigned)number(optarg, MIN_FRAME_BYTES, MAX_FRAME_BYTES); break;
    case 'T': plan.duration = seconds_ns(optarg); break;
    case 'n': plan.wanted = (uint64_t)number(optarg, 1, 1e12); break;
    case 'r': plan.rate = number(optarg, 1, 1e9); break;
    case 'D': plan.destinations = (uint32_t)number(optarg, 1, 1 << 20); break;
    case 'S': plan.sources = (uint32_t)number(optarg, 1, 1 << 20); break;
    case 'F': plan.flows = (uint32_t)number(optarg, 1, 1 << 24); break;
    case 'V':
      plan.has_outer = 1;
      plan.vni = (uint32_t)number(optarg, 0, (1 << 24) - 1);
      break;
    case 'm': parse_mac(optarg, plan.outer_to); break;
    case 'o': plan.outer_ip_to = parse_ipv4(optarg); break;
    case 'O': plan.outer_ip_from = parse_ipv4(optarg); break;
    case 'P': plan.vteps = (uint32_t)number(optarg, 1, 1 << 16); break;
    default: exit(1);
    }
  }
  if (plan.ifname == NULL) fail("frame-flood: -i is needed");
  return plan;
}

/* Gives the first frames of the batch their next addresses, where addresses walk, and their flows. */
static void walk_batch(const struct plan *plan, unsigned batch) {
  static uint32_t destination, source, flow;
  for (unsigned i = 0; plan->destinations > 1 && i < batch; i++) {
    walk(frames[i], plan->to, destination);
    destination = destination + 1 == plan->destinations ? 0 : destination + 1;
  }
  for (unsigned i = 0; (plan->sources > 1 || plan->vteps > 1) && i < batch; i++) {
    walk(frames[i] + 6, plan->from, source);
    if (plan->has_outer) choose_vtep(wires[i], plan, source);
    source = source + 1 == plan->sources ? 0 : source + 1;
  }
  for (unsigned i = 0; plan->flows > 1 && i < batch; i++) {
    choose_flow(frames[i], plan, flow);
    flow = flow + 1 == plan->flows ? 0 : flow + 1;
  }
}

int main(int argc, char **argv) {
  struct plan plan = parse_options(argc, argv);
  int fd = open_interface(plan.ifname);
  struct iovec parts[BATCH];
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    unsigned outer = plan.has_outer ? OUTER_BYTES : 0;
    frames[i] = wires[i] + outer;
    write_frame(frames[i], &plan);
    if (plan.has_outer) {
      write_outer(wires[i], &plan, (unsigned)i);
      choose_vtep(wires[i], &plan, 0);
    }
    parts[i] = (struct iovec){.iov_base = wires[i], .iov_len = outer + plan.bytes};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }

  uint64_t sent = 0, refused = 0, start = now_ns();
  while (sent < plan.wanted && now_ns() - start < plan.duration) {
    unsigned batch = plan.wanted - sent < BATCH ? (unsigned)(plan.wanted - sent) : BATCH;
    walk_batch(&plan, batch);
    /* A refused frame (ENOBUFS: the interface's queue is full) ends sendmmsg early; it is skipped, not repeated. */
    for (unsigned done = 0; done < batch;) {
      int count = sendmmsg(fd, messages + done, batch - done, 0);
      if (count < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR) fail_call("sendmmsg");
      if (count > 0) {
        sent += (uint64_t)count;
        done += (unsigned)count;
      } else {
        refused++;
        done++;
      }
    }
    if (plan.rate > 0) sleep_until_ns(start + (uint64_t)((double)(sent + refused) / plan.rate * 1e9));
  }
  printf("{\"sent\": %llu, \"refused\": %llu, \"seconds\": %.6f}\n", (unsigned long long)sent,
         (unsigned long long)refused, (double)(now_ns() - start) / 1e9);
  return 0;
}
