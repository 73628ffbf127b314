/**
 * Classic BPF: checks a program and runs it over a frame. Runs on the control thread, where a frame is a copy in the capture
 * ring; the programs come from libpcap (filter.ts), but nothing here trusts them.
 *
 * Read first: Documentation/networking/filter.rst (kernel) for the instructions, libpcap's bpf_filter.c for their meaning in
 * user space. All arithmetic is on 32 unsigned bits, kept as int32. A load outside the frame, a division by zero and a
 * program that does not end reject the frame.
 *
 * Invariant: a program that `checkProgram` accepts never reads outside the frame, its memory or itself.
 */

export interface BpfInstruction {
  code: number;
  jt: number;
  jf: number;
  /** Unsigned 32 bits. */
  k: number;
}

export interface BpfProgram {
  code: Uint16Array;
  jt: Uint8Array;
  jf: Uint8Array;
  k: Int32Array;
  /** Bytes at the start of a frame that decide: more than these are never looked at. */
  reachBytes: number;
}

/** What a frame is to `inbound` and `outbound`: PACKET_HOST and PACKET_OUTGOING (linux/if_packet.h). */
export const PACKET_INBOUND = 0;
export const PACKET_OUTBOUND = 4;

const MAX_INSTRUCTIONS = 4096;
const MEMORY_WORDS = 16;
/** `protochain` jumps backward; libpcap trusts it to end, here it gets this many steps. */
const MAX_STEPS = 16384;
const WHOLE_FRAME = 262144;

// Instruction classes, sizes, modes and operations: include/uapi/linux/bpf_common.h.
const CLASS_MASK = 0x07;
const LD = 0x00;
const LDX = 0x01;
const ST = 0x02;
const STX = 0x03;
const ALU = 0x04;
const JMP = 0x05;
const RET = 0x06;
const MISC = 0x07;
const W = 0x00;
const H = 0x08;
const B = 0x10;
const IMM = 0x00;
const ABS = 0x20;
const IND = 0x40;
const MEM = 0x60;
const LEN = 0x80;
const MSH = 0xa0;
const X = 0x08;
const ADD = 0x00;
const SUB = 0x10;
const MUL = 0x20;
const DIV = 0x30;
const OR = 0x40;
const AND = 0x50;
const LSH = 0x60;
const RSH = 0x70;
const NEG = 0x80;
const MOD = 0x90;
const XOR = 0xa0;
const JA = 0x00;
const JEQ = 0x10;
const JGT = 0x20;
const JGE = 0x30;
const JSET = 0x40;
const RET_A = 0x10;
const TAX = 0x00;
const TXA = 0x80;

/** Linux extensions are loads at these offsets (include/uapi/linux/filter.h: SKF_AD_OFF and what is added to it). */
const EXTENSION_AT = -0x1000;
const EXTENSION_PROTOCOL = EXTENSION_AT + 0;
const EXTENSION_PACKET_TYPE = EXTENSION_AT + 4;
/** The VLAN tag beside the frame and whether there is one: never here, because tags are in the frame. */
const EXTENSION_VLAN_TAG = EXTENSION_AT + 44;
const EXTENSION_VLAN_PRESENT = EXTENSION_AT + 48;
const EXTENSIONS = [EXTENSION_PROTOCOL, EXTENSION_PACKET_TYPE, EXTENSION_VLAN_TAG, EXTENSION_VLAN_PRESENT];

const LOADS = new Set([
  LD | W | ABS,
  LD | H | ABS,
  LD | B | ABS,
  LD | W | IND,
  LD | H | IND,
  LD | B | IND,
  LD | W | LEN,
  LD | IMM,
  LD | MEM,
  LDX | IMM,
  LDX | MEM,
  LDX | W | LEN,
  LDX | B | MSH,
]);
const ARITHMETIC = [ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, MOD, XOR];

/** The program as flat columns, or a sentence that says what is wrong with it. */
export function checkProgram(instructions: readonly BpfInstruction[]): BpfProgram | string {
  const count = instructions.length;
  if (count < 1 || count > MAX_INSTRUCTIONS) return `a program has 1 to ${MAX_INSTRUCTIONS} instructions, not ${count}`;
  for (let at = 0; at < count; at++) {
    const wrong = whyBadInstruction(instructions[at]!, at, count);
    if (wrong !== null) return `instruction ${at} ${wrong}`;
  }
  if ((instructions[count - 1]!.code & CLASS_MASK) !== RET) return 'the last instruction does not return';
  return {
    code: Uint16Array.from(instructions, ({ code }) => code),
    jt: Uint8Array.from(instructions, ({ jt }) => jt),
    jf: Uint8Array.from(instructions, ({ jf }) => jf),
    k: Int32Array.from(instructions, ({ k }) => k | 0),
    reachBytes: reachOf(instructions),
  };
}

/**
 * Whether the program accepts the frame of which `captured` bytes stand at `at` of `bytes` and which had `length` bytes.
 * `packetType`: PACKET_INBOUND or PACKET_OUTBOUND.
 */
export function accepts(
  program: BpfProgram,
  bytes: Uint8Array,
  at: number,
  captured: number,
  length: number,
  packetType: number,
): boolean {
  const { code, jt, jf, k } = program;
  const count = code.length;
  let accumulator = 0;
  let index = 0;
  memory.fill(0);
  let pc = 0;
  for (let steps = 0; steps < MAX_STEPS && pc >= 0 && pc < count; steps++) {
    const operation = code[pc]!;
    const operand = k[pc]!;
    switch (operation & CLASS_MASK) {
      case LD:
      case LDX: {
        const value = load(operation, operand, index, bytes, at, captured, length, packetType);
        if (value === NO_VALUE) return false;
        if ((operation & CLASS_MASK) === LD) accumulator = value;
        else index = value;
        break;
      }
      case ST:
        memory[operand] = accumulator;
        break;
      case STX:
        memory[operand] = index;
        break;
      case ALU: {
        const other = (operation & X) !== 0 ? index : operand;
        if (other === 0 && ((operation & 0xf0) === DIV || (operation & 0xf0) === MOD)) return false;
        accumulator = compute(operation & 0xf0, accumulator, other);
        break;
      }
      case JMP:
        if ((operation & 0xf0) === JA) pc = (pc + operand) | 0;
        else pc += holds(operation & 0xf0, accumulator, (operation & X) !== 0 ? index : operand) ? jt[pc]! : jf[pc]!;
        break;
      case RET:
        return ((operation & 0x18) === RET_A ? accumulator : operand) !== 0;
      default:
        if ((operation & 0xf8) === TAX) index = accumulator;
        else accumulator = index;
    }
    pc++;
  }
  return false;
}

const memory = new Int32Array(MEMORY_WORDS);

/** Outside of what a load can give. */
const NO_VALUE = 2 ** 40;

function load(
  operation: number,
  operand: number,
  index: number,
  bytes: Uint8Array,
  at: number,
  captured: number,
  length: number,
  packetType: number,
): number {
  const mode = operation & 0xe0;
  switch (mode) {
    case IMM:
      return operand;
    case MEM:
      return memory[operand]!;
    case LEN:
      return length;
    default: {
      if (mode === ABS && operand < 0) return extension(operand, bytes, at, captured, packetType);
      // Unsigned, as in libpcap: a sum beyond the frame is beyond it, not in front of it.
      const offset = mode === IND ? (index + operand) >>> 0 : operand >>> 0;
      const size = operation & 0x18;
      const width = size === W ? 4 : size === H ? 2 : 1;
      if (offset + width > captured) return NO_VALUE;
      const from = at + offset;
      if (mode === MSH) return (bytes[from]! & 0x0f) << 2;
      if (width === 1) return bytes[from]!;
      if (width === 2) return (bytes[from]! << 8) | bytes[from + 1]!;
      return (bytes[from]! << 24) | (bytes[from + 1]! << 16) | (bytes[from + 2]! << 8) | bytes[from + 3]!;
    }
  }
}

function extension(operand: number, bytes: Uint8Array, at: number, captured: number, packetType: number): number {
  switch (operand) {
    case EXTENSION_PROTOCOL:
      return captured < 14 ? NO_VALUE : (bytes[at + 12]! << 8) | bytes[at + 13]!;
    case EXTENSION_PACKET_TYPE:
      return packetType;
    default:
      return 0;
  }
}

/** `other` is not zero for DIV and MOD. */
function compute(operation: number, a: number, other: number): number {
  switch (operation) {
    case ADD:
      return (a + other) | 0;
    case SUB:
      return (a - other) | 0;
    case MUL:
      return Math.imul(a, other);
    case DIV:
      return ((a >>> 0) / (other >>> 0)) | 0;
    case MOD:
      return ((a >>> 0) % (other >>> 0)) | 0;
    case OR:
      return a | other;
    case AND:
      return a & other;
    case XOR:
      return a ^ other;
    case LSH:
      return other >>> 0 < 32 ? a << other : 0;
    case RSH:
      return other >>> 0 < 32 ? (a >>> other) | 0 : 0;
    default:
      return -a | 0;
  }
}

function holds(operation: number, a: number, other: number): boolean {
  switch (operation) {
    case JEQ:
      return a === other;
    case JGT:
      return a >>> 0 > other >>> 0;
    case JGE:
      return a >>> 0 >= other >>> 0;
    default:
      return (a & other) !== 0;
  }
}

function whyBadInstruction({ code, jt, jf, k }: BpfInstruction, at: number, count: number): string | null {
  if (!isField(code, 0xffff) || !isField(jt, 0xff) || !isField(jf, 0xff) || !isField(k, 0xffffffff)) {
    return 'has a field out of range';
  }
  const operation = code & 0xf0;
  switch (code & CLASS_MASK) {
    case LD:
    case LDX:
      if (!LOADS.has(code)) break;
      if ((code & 0xe0) === MEM && k >= MEMORY_WORDS) return 'reads outside its memory';
      if ((code & 0xe0) === ABS && (k | 0) < 0 && !EXTENSIONS.includes(k | 0)) return 'wants an unknown extension';
      return null;
    case ST:
    case STX:
      if (code !== ST && code !== STX) break;
      return k >= MEMORY_WORDS ? 'writes outside its memory' : null;
    case ALU:
      if (code === (ALU | NEG)) return null;
      if (!ARITHMETIC.includes(operation) || code > 0xff) break;
      return code & X || k !== 0 || (operation !== DIV && operation !== MOD) ? null : 'divides by zero';
    case JMP: {
      if (code === (JMP | JA)) return isInside(at + 1 + (k | 0), count) ? null : 'jumps out of the program';
      if (![JEQ, JGT, JGE, JSET].includes(operation) || code > 0xff) break;
      return isInside(at + 1 + jt, count) && isInside(at + 1 + jf, count) ? null : 'jumps out of the program';
    }
    case RET:
      if (code === RET || code === (RET | RET_A)) return null;
      break;
    default:
      if (code === (MISC | TAX) || code === (MISC | TXA)) return null;
  }
  return `is unknown (code ${code})`;
}

function isField(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}

function isInside(target: number, count: number): boolean {
  return target >= 0 && target < count;
}

/** How far into a frame the program looks: exact for fixed offsets, an upper bound behind an IPv4 header length. */
function reachOf(instructions: readonly BpfInstruction[]): number {
  const MAX_IPV4_HEADER_BYTES = 60;
  const indexIsHeaderLength =
    instructions.every(({ code }) => (code & CLASS_MASK) !== LDX || (code & 0xe0) === MSH) &&
    instructions.every(({ code }) => code !== (MISC | TAX));
  let reach = 0;
  for (const { code, k } of instructions) {
    const mode = code & 0xe0;
    if ((code & CLASS_MASK) > LDX || (mode !== ABS && mode !== IND && mode !== MSH)) continue;
    if (mode === IND && !(indexIsHeaderLength && k < WHOLE_FRAME)) return WHOLE_FRAME;
    if (EXTENSIONS.includes(k | 0)) continue;
    reach = Math.max(reach, k + 4 + (mode === IND ? MAX_IPV4_HEADER_BYTES : 0));
  }
  return Math.min(reach, WHOLE_FRAME);
}
