// The states of TCP connections in the NAT, over every sequence of a few segments.
import { strict as assert } from 'node:assert';
import {
  afterSegment,
  isLongLived,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_INSIDE,
  TCP_FIN_OUTSIDE,
  TCP_RESET,
  TCP_SYN_INSIDE,
  TCP_SYN_OUTSIDE,
} from '../../src/tables/tcp-state.js';

const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;

/** Segments as `>SYN` (from inside) and `<FIN` (from outside). */
function reach(state: number, ...segments: readonly string[]): number {
  const flags: Record<string, number> = { SYN, FIN, RST, ACK, SYNACK: SYN | ACK, FINACK: FIN | ACK, RSTACK: RST | ACK };
  return segments.reduce((now, text) => afterSegment(now, flags[text.slice(1)]!, text[0] === '>'), state);
}

describe('TCP states of the NAT (RFC 7857 section 2)', () => {
  it('are those of a connection from inside', () => {
    assert.equal(reach(TCP_SYN_INSIDE, '>SYN'), TCP_SYN_INSIDE);
    assert.equal(reach(TCP_SYN_INSIDE, '<SYNACK'), TCP_ESTABLISHED);
    assert.equal(reach(TCP_SYN_INSIDE, '<SYNACK', '>ACK', '<ACK'), TCP_ESTABLISHED);
  });

  it('are those of a connection from outside, and of one that both open', () => {
    assert.equal(reach(TCP_SYN_OUTSIDE, '<SYN'), TCP_SYN_OUTSIDE);
    assert.equal(reach(TCP_SYN_OUTSIDE, '>SYNACK'), TCP_ESTABLISHED);
    assert.equal(reach(TCP_SYN_INSIDE, '<SYN'), TCP_ESTABLISHED);
  });

  it('close when both sides have', () => {
    assert.equal(reach(TCP_ESTABLISHED, '>FINACK'), TCP_FIN_INSIDE);
    assert.equal(reach(TCP_ESTABLISHED, '<FINACK'), TCP_FIN_OUTSIDE);
    assert.equal(reach(TCP_ESTABLISHED, '>FINACK', '>FINACK', '<ACK'), TCP_FIN_INSIDE);
    assert.equal(reach(TCP_ESTABLISHED, '>FINACK', '<FINACK', '>ACK'), TCP_CLOSING);
    assert.equal(reach(TCP_ESTABLISHED, '<FINACK', '>FINACK', '<ACK'), TCP_CLOSING);
  });

  it('end with a RST, unless data come after all', () => {
    for (const state of [TCP_ESTABLISHED, TCP_FIN_INSIDE, TCP_FIN_OUTSIDE, TCP_CLOSING]) {
      assert.equal(reach(state, '<RST'), TCP_RESET);
      assert.equal(reach(state, '>RSTACK'), TCP_RESET);
    }
    assert.equal(reach(TCP_RESET, '>ACK'), TCP_ESTABLISHED);
    assert.equal(reach(TCP_RESET, '<FINACK'), TCP_FIN_OUTSIDE);
    assert.equal(
      reach(TCP_SYN_INSIDE, '<RSTACK'),
      TCP_SYN_INSIDE,
      'a refusal may be forged; the state is short anyhow',
    );
  });

  it('begin anew with a SYN once the old connection ends', () => {
    for (const state of [TCP_FIN_INSIDE, TCP_FIN_OUTSIDE, TCP_CLOSING, TCP_RESET]) {
      assert.equal(reach(state, '>SYN'), TCP_SYN_INSIDE);
      assert.equal(reach(state, '<SYN'), TCP_SYN_OUTSIDE);
    }
    assert.equal(reach(TCP_ESTABLISHED, '>SYN'), TCP_ESTABLISHED);
  });

  it('are long-lived only when a handshake was seen from both sides', () => {
    const reached = new Map([[TCP_SYN_INSIDE, [] as string[]]]);
    const segments = ['>SYN', '<SYN', '>SYNACK', '<SYNACK', '>ACK', '<ACK', '>FIN', '<FIN', '>RST', '<RST'];
    for (const [state, path] of reached) {
      if (path.length > 6) continue;
      for (const segment of segments) {
        const next = reach(state, segment);
        if (!reached.has(next)) reached.set(next, [...path, segment]);
      }
    }
    for (const [state, path] of reached) {
      if (!isLongLived(state)) continue;
      assert.ok(
        path.some((segment) => segment.startsWith('<SYN')),
        path.join(' '),
      );
    }
    assert.equal(reached.size, 7);
  });
});
