// Classic BPF: what is refused, and what every instruction does, also on frames that are too short.
import { strict as assert } from 'node:assert';
import {
  accepts,
  type BpfInstruction,
  type BpfProgram,
  checkProgram,
  PACKET_INBOUND,
  PACKET_OUTBOUND,
} from '../../src/capture/bpf.js';
import { Prng } from '../../src/lib/prng.js';
import { corpus } from './capture-frames.js';

const RET_A = 0x16;
const RET_K = 0x06;

function instruction(code: number, k = 0, jt = 0, jf = 0): BpfInstruction {
  return { code, jt, jf, k };
}

function program(...instructions: BpfInstruction[]): BpfProgram {
  const checked = checkProgram(instructions);
  assert.ok(typeof checked !== 'string', String(checked));
  return checked;
}

const FRAME = Uint8Array.from({ length: 64 }, (_, i) => i + 1);

/** Whether the instructions leave `expected` in the accumulator. */
function leaves(expected: number, ...instructions: BpfInstruction[]): boolean {
  const compared = program(
    ...instructions,
    instruction(0x15, expected >>> 0, 0, 1),
    instruction(RET_K, 1),
    instruction(RET_K, 0),
  );
  return accepts(compared, FRAME, 0, FRAME.length, 1000, PACKET_INBOUND);
}

describe('bpf', () => {
  const LD_IMM = 0x00;
  const LDX_IMM = 0x01;

  const loads: [string, number, BpfInstruction[]][] = [
    ['a word', 0x01020304, [instruction(0x20, 0)]],
    ['a word up to the last byte', 0x3d3e3f40, [instruction(0x20, 60)]],
    ['a half word', 0x0304, [instruction(0x28, 2)]],
    ['a byte', 0x40, [instruction(0x30, 63)]],
    ['a word from an index', 0x05060708, [instruction(LDX_IMM, 3), instruction(0x40, 1)]],
    ['a half word from an index', 0x0506, [instruction(LDX_IMM, 3), instruction(0x48, 1)]],
    ['a byte from an index that wraps around', 0x01, [instruction(LDX_IMM, 0xffffffff), instruction(0x50, 1)]],
    ['an IPv4 header length', 4 * 0x0f, [instruction(0xb1, 14), instruction(0x87)]],
    ['the length on the wire', 1000, [instruction(0x80)]],
    ['the length on the wire into the index', 1000, [instruction(0x81), instruction(0x87)]],
    ['memory', 77, [instruction(LD_IMM, 77), instruction(0x02, 15), instruction(LD_IMM, 1), instruction(0x60, 15)]],
    [
      'the index from memory',
      78,
      [
        instruction(LDX_IMM, 78),
        instruction(0x03, 0),
        instruction(LDX_IMM, 1),
        instruction(0x61, 0),
        instruction(0x87),
      ],
    ],
    ['memory that nobody wrote: zero', 0, [instruction(0x60, 3)]],
    ['the VLAN tag beside the frame: none', 0, [instruction(0x28, 0xfffff02c)]],
    ['whether there is one: no', 0, [instruction(0x30, 0xfffff030)]],
    ['the protocol', 0x0d0e, [instruction(0x28, 0xfffff000)]],
  ];
  for (const [what, expected, instructions] of loads) {
    it(`loads ${what}`, () => assert.ok(leaves(expected, ...instructions)));
  }

  const beyond: [string, BpfInstruction[]][] = [
    ['a word', [instruction(0x20, 61)]],
    ['a half word', [instruction(0x28, 63)]],
    ['a byte', [instruction(0x30, 64)]],
    ['at the end of memory', [instruction(0x20, 0x7fffffff)]],
    ['from an index', [instruction(LDX_IMM, 64), instruction(0x50, 0)]],
    ['from an index below zero', [instruction(LDX_IMM, 0xffffffff), instruction(0x50, 0)]],
    ['an IPv4 header length', [instruction(0xb1, 64)]],
  ];
  for (const [what, instructions] of beyond) {
    it(`rejects the frame on a load beyond its end: ${what}`, () => {
      const reading = program(...instructions, instruction(RET_K, 1));
      assert.equal(accepts(reading, FRAME, 0, FRAME.length, 1000, PACKET_INBOUND), false);
    });
  }

  const MAX = 0xffffffff;
  const arithmetic: [string, number, number, number, number][] = [
    ['adds', 0x04, MAX, 2, 1],
    ['subtracts', 0x14, 1, 2, MAX],
    ['multiplies', 0x24, 0x10001, 0x10001, 0x20001],
    ['divides', 0x34, MAX, 2, 0x7fffffff],
    ['takes the remainder of', 0x94, MAX, 16, 15],
    ['ors', 0x44, 0x80000000, 1, 0x80000001],
    ['ands', 0x54, MAX, 0xf0f0f0f0, 0xf0f0f0f0],
    ['exclusive-ors', 0xa4, MAX, 0xff, 0xffffff00],
    ['shifts left', 0x64, 3, 31, 0x80000000],
    ['shifts right', 0x74, 0x80000000, 31, 1],
    ['shifts everything out to the left', 0x64, 3, 32, 0],
    ['shifts everything out to the right', 0x74, MAX, 33, 0],
  ];
  for (const [what, code, left, right, expected] of arithmetic) {
    it(`${what} on 32 unsigned bits, by a constant and by the index`, () => {
      assert.ok(leaves(expected, instruction(LD_IMM, left), instruction(code, right)));
      assert.ok(leaves(expected, instruction(LD_IMM, left), instruction(LDX_IMM, right), instruction(code | 0x08)));
    });
  }

  it('negates', () => assert.ok(leaves(MAX, instruction(LD_IMM, 1), instruction(0x84))));

  it('rejects the frame on a division by an index of zero', () => {
    for (const code of [0x3c, 0x9c]) {
      const dividing = program(instruction(LD_IMM, 1), instruction(code), instruction(RET_K, 1));
      assert.equal(accepts(dividing, FRAME, 0, 64, 64, PACKET_INBOUND), false);
    }
  });

  const comparisons: [string, number, number, number, boolean][] = [
    ['equal', 0x15, 5, 5, true],
    ['equal', 0x15, 5, 6, false],
    ['greater', 0x25, MAX, 1, true],
    ['greater', 0x25, 1, MAX, false],
    ['greater or equal', 0x35, 0x80000000, 0x7fffffff, true],
    ['greater or equal', 0x35, 1, 2, false],
    ['any bit of', 0x45, 0x80000000, 0xc0000000, true],
    ['any bit of', 0x45, 1, 2, false],
  ];
  for (const [what, code, left, right, expected] of comparisons) {
    it(`jumps when ${left} is ${what} ${right}: ${expected}`, () => {
      for (const byIndex of [0, 0x08]) {
        const jumping = program(
          instruction(LD_IMM, left),
          instruction(LDX_IMM, right),
          instruction(code | byIndex, right, 1, 0),
          instruction(RET_K, 0),
          instruction(RET_K, 1),
        );
        assert.equal(accepts(jumping, FRAME, 0, 64, 64, PACKET_INBOUND), expected);
      }
    });
  }

  it('returns the accumulator: zero rejects', () => {
    for (const value of [0, 1]) {
      const returning = program(instruction(LD_IMM, value), instruction(RET_A));
      assert.equal(accepts(returning, FRAME, 0, 64, 64, PACKET_INBOUND), value === 1);
    }
  });

  it('tells inbound from outbound', () => {
    const outbound = program(
      instruction(0x28, 0xfffff004),
      instruction(0x15, 4, 0, 1),
      instruction(RET_K, 1),
      instruction(RET_K, 0),
    );
    assert.equal(accepts(outbound, FRAME, 0, 64, 64, PACKET_OUTBOUND), true);
    assert.equal(accepts(outbound, FRAME, 0, 64, 64, PACKET_INBOUND), false);
  });

  it('rejects the frame when the program does not end', () => {
    const endless = program(instruction(0x05, 0xffffffff), instruction(RET_K, 1));
    assert.equal(accepts(endless, FRAME, 0, 64, 64, PACKET_INBOUND), false);
  });

  const refused: [string, BpfInstruction[]][] = [
    ['no instructions', []],
    ['no return at the end', [instruction(LD_IMM)]],
    ['a jump behind the end', [instruction(0x15, 0, 1, 0), instruction(RET_K)]],
    ['a long jump behind the end', [instruction(0x05, 1), instruction(RET_K)]],
    ['a long jump in front of the start', [instruction(0x05, 0xfffffffe), instruction(RET_K)]],
    ['memory that does not exist', [instruction(0x02, 16), instruction(RET_K)]],
    ['a load from memory that does not exist', [instruction(0x60, 16), instruction(RET_K)]],
    ['a division by zero', [instruction(0x34, 0), instruction(RET_K)]],
    ['an unknown load', [instruction(0xe0), instruction(RET_K)]],
    ['an unknown operation', [instruction(0xb4), instruction(RET_K)]],
    ['an unknown jump', [instruction(0x55), instruction(RET_K)]],
    ['an unknown store', [instruction(0x0a), instruction(RET_K)]],
    ['an unknown return', [instruction(0x0e)]],
    ['an unknown transfer', [instruction(0x17), instruction(RET_K)]],
    ['an unknown extension', [instruction(0x20, 0xfffff008), instruction(RET_K)]],
    ['a code that is no number', [instruction(Number.NaN), instruction(RET_K)]],
    ['a constant of more than 32 bits', [instruction(LD_IMM, 2 ** 32), instruction(RET_K)]],
    ['too many instructions', Array.from({ length: 4097 }, () => instruction(RET_K))],
  ];
  for (const [what, instructions] of refused) {
    it(`refuses ${what}`, () => assert.equal(typeof checkProgram(instructions), 'string'));
  }

  it('runs whatever it does not refuse, on any frame, to an end', () => {
    const seed = Date.now() | 0;
    const prng = new Prng(seed);
    const frames = corpus(prng, 50);
    const codes = [
      0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x0c, 0x14, 0x15, 0x1d, 0x20, 0x24, 0x25, 0x28, 0x30, 0x34, 0x35, 0x3c,
    ];
    codes.push(
      0x40,
      0x44,
      0x45,
      0x48,
      0x50,
      0x54,
      0x60,
      0x61,
      0x64,
      0x6c,
      0x74,
      0x80,
      0x81,
      0x84,
      0x87,
      0x07,
      0x94,
      0xb1,
      0x06,
      0x16,
    );
    let ran = 0;
    for (let round = 0; round < 3000; round++) {
      const length = 2 + prng.below(12);
      const instructions = Array.from({ length }, () => {
        const code = prng.below(40) === 0 ? prng.below(65536) : codes[prng.below(codes.length)]!;
        const k = [prng.below(16), prng.below(80), prng.next(), 0xffffffff - prng.below(8)][prng.below(4)]!;
        return instruction(code, k, prng.below(6), prng.below(6));
      });
      instructions.push(instruction(RET_A));
      const checked = checkProgram(instructions);
      if (typeof checked === 'string') continue;
      ran++;
      for (const frame of frames) {
        const verdict = accepts(checked, frame, 0, frame.length, frame.length, PACKET_INBOUND);
        assert.equal(typeof verdict, 'boolean', `seed ${seed}, round ${round}`);
      }
    }
    assert.ok(ran > 50, `${ran} programs ran`);
  });
});
