/**
 * The memory that flows live in: one piece, mapped from a file that outlives the daemon (a kill -9 too), or any ArrayBuffer in tests.
 *
 *   header (HEADER_BYTES)    magic, layout, capacity, boot, rows ever used by section, network slots
 *   sessions                 capacity rows of 64 bytes     tables/flow-table.ts
 *   mappings                 capacity rows of 32 bytes     tables/mapping-table.ts
 *   addresses                capacity rows of 16 bytes     tables/address-interner.ts (IPv6 only)
 *
 * What a flow costs, in bytes of memory once it is used (the private indexes of the worker included):
 *
 *   a session 128 (64 in the file)     a mapping 64 (32 in the file; one per inside port)     an IPv6 address 36 (16 in the file)
 *
 * So a million IPv4 flows take 128 MiB when they share mappings and 192 MiB when each has its own; what is not used takes nothing.
 *
 * The file is sparse: a page costs memory once a row in it is used. Rows are used from the front, and the pages behind them are
 * claimed piece by piece (`grow`), because touching a page that the file system has no room for would end the process (SIGBUS).
 *
 * Crash safety. A process that is killed has done its stores up to some instruction and none behind it. A row is written between two
 * increments of its version, so a row that was being written has an odd version and is dropped when the memory is taken over.
 * Everything else (hash chains, wheel, free lists, counts) is private memory of the worker, built anew from the rows.
 *
 * Times in rows are CLOCK_MONOTONIC, which starts over at boot: memory of another boot, layout or capacity is emptied.
 */
const MAGIC = 0x77656674;
const LAYOUT = 1;

export const HEADER_BYTES = 65536;
export const SESSION_WORDS = 16;
export const MAPPING_WORDS = 8;
export const ADDRESS_WORDS = 4;

/** Words of the header. */
const AT_MAGIC = 0;
const AT_LAYOUT = 1;
const AT_CAPACITY = 2;
const AT_BOOT = 4;
const BOOT_WORDS = 4;
/** Rows ever used, by section. */
const AT_USED = 8;
/** Pairs of (1 = in use, network key), by slot (tables/network-slots.ts). */
export const AT_SLOTS = 64;
export const MAX_SLOTS = 2048;

export const SECTION_SESSIONS = 0;
export const SECTION_MAPPINGS = 1;
export const SECTION_ADDRESSES = 2;

const SECTIONS = [SECTION_SESSIONS, SECTION_MAPPINGS, SECTION_ADDRESSES];
/** By section. */
const ROW_WORDS = [SESSION_WORDS, MAPPING_WORDS, ADDRESS_WORDS];
/** Room for what a traced frame opens. */
const MIN_COPY_CAPACITY = 1024;

/** Bytes of file that are claimed at a time. */
const GROW_BYTES = 256 * 1024;

/** Makes sure that the file has `bytes` from `offset` on; false when there is no room. */
export type Grow = (offset: number, bytes: number) => boolean;

/** Bytes of memory for `capacity` flows. @coldPath once per datapath */
export function flowMemoryBytes(capacity: number): number {
  return HEADER_BYTES + capacity * 4 * (SESSION_WORDS + MAPPING_WORDS + ADDRESS_WORDS);
}

/** Rows of a section that were ever used; rows behind them are not to be looked at. */
export function usedRows(words: Int32Array, section: number): number {
  return words[AT_USED + section]!;
}

/** First word of a section. */
export function sectionAt(capacity: number, section: number): number {
  const at = HEADER_BYTES / 4;
  if (section === SECTION_SESSIONS) return at;
  if (section === SECTION_MAPPINGS) return at + capacity * SESSION_WORDS;
  return at + capacity * (SESSION_WORDS + MAPPING_WORDS);
}

/** Whether memory was prepared by a worker of this boot and this layout. @coldPath for readers of other threads */
export function isFlowMemory(words: Int32Array): boolean {
  return words[AT_MAGIC] === MAGIC && words[AT_LAYOUT] === LAYOUT && words[AT_CAPACITY]! > 0;
}

/** Flows that prepared memory has room for. */
export function capacityOf(words: Int32Array): number {
  return words[AT_CAPACITY]!;
}

export class FlowMemory {
  readonly capacity: number;
  readonly words: Int32Array;
  /** The same memory, for byte counters. */
  readonly doubles: Float64Array;
  /** True when rows of before were found. */
  readonly isTakenOver: boolean;
  private readonly grow: Grow;
  /** Bytes known to be there, from the start of each section. */
  private readonly claimed = new Float64Array(3);

  /** Takes `buffer` (flowMemoryBytes(capacity) long) over. `capacity`: a power of two. `boot`: four words that name the boot. */
  constructor(buffer: ArrayBuffer | SharedArrayBuffer, capacity: number, boot: Int32Array, grow: Grow) {
    this.capacity = capacity;
    this.words = new Int32Array(buffer);
    this.doubles = new Float64Array(buffer);
    this.grow = grow;
    this.isTakenOver = this.isOurs(boot);
    if (!this.isTakenOver) this.format(boot);
    for (const section of SECTIONS) {
      // What is used was claimed once; the rest of the last piece may not have been.
      const bytes = this.used(section) * ROW_WORDS[section]! * 4;
      this.claimed[section] = bytes - (bytes % GROW_BYTES);
    }
  }

  /** Rows of a section that were ever used. */
  used(section: number): number {
    return this.words[AT_USED + section]!;
  }

  /** Makes the next row of a section usable and returns it; -1 when all are, or the file cannot grow. */
  extend(section: number, rowWords: number): number {
    const row = this.words[AT_USED + section]!;
    if (row >= this.capacity) return -1;
    const end = (row + 1) * rowWords * 4;
    if (end > this.claimed[section]!) {
      const offset = sectionAt(this.capacity, section) * 4 + this.claimed[section]!;
      if (!this.grow(offset, GROW_BYTES)) return -1;
      this.claimed[section]! += GROW_BYTES;
    }
    // Whatever was here before must not look like a row if the process ends now.
    this.words[sectionAt(this.capacity, section) + row * rowWords] = 0;
    this.words[AT_USED + section] = row + 1;
    return row;
  }

  private isOurs(boot: Int32Array): boolean {
    const { words, capacity } = this;
    if (!isFlowMemory(words) || capacityOf(words) !== capacity) return false;
    for (let i = 0; i < BOOT_WORDS; i++) if (words[AT_BOOT + i] !== boot[i]) return false;
    for (let section = 0; section <= SECTION_ADDRESSES; section++) {
      if (words[AT_USED + section]! < 0 || words[AT_USED + section]! > capacity) return false;
    }
    return true;
  }

  private format(boot: Int32Array): void {
    const { words } = this;
    words.fill(0, 0, HEADER_BYTES / 4);
    words[AT_CAPACITY] = this.capacity;
    for (let i = 0; i < BOOT_WORDS; i++) words[AT_BOOT + i] = boot[i]!;
    words[AT_LAYOUT] = LAYOUT;
    words[AT_MAGIC] = MAGIC;
  }
}

/**
 * A copy of prepared memory of another thread as far as it is used, in memory of its own; null when there is none. Rows that
 * were being written are dropped when the copy is taken over. @coldPath for tracing
 */
export function copyFlowMemory(from: Int32Array): FlowMemory | null {
  if (!isFlowMemory(from)) return null;
  const most = Math.max(...SECTIONS.map((section) => usedRows(from, section)));
  let capacity = MIN_COPY_CAPACITY;
  while (capacity < most * 2 && capacity < capacityOf(from)) capacity *= 2;
  const buffer = new ArrayBuffer(flowMemoryBytes(capacity));
  const words = new Int32Array(buffer);
  words.set(from.subarray(0, HEADER_BYTES / 4));
  words[AT_CAPACITY] = capacity;
  for (const section of SECTIONS) {
    const source = sectionAt(capacityOf(from), section);
    const length = words[AT_USED + section]! * ROW_WORDS[section]!;
    words.set(from.subarray(source, source + length), sectionAt(capacity, section));
  }
  return new FlowMemory(buffer, capacity, words.slice(AT_BOOT, AT_BOOT + BOOT_WORDS), () => true);
}
