// The warmer looks at the very rows that the NAT is about to look at, changes nothing, and leaves small tables and bursts alone.
import { strict as assert } from 'node:assert';
import { emptyProgram, type Program, ROLE_INSIDE, ROLE_UPLINK } from '../../src/datapath/program.js';
import { DROPPED, FrameVector, LATER_FRAGMENT, ROUTING } from '../../src/frames/frame-vector.js';
import { createSlab } from '../../src/frames/slab.js';
import { NatRig, OUTSIDE4, UDP } from '../support/nat-rig.js';

const FLOWS = 20_000;
const FRAMES = 40;
/** Network 0 is inside, network 2 its uplink. */
const PROGRAM: Program = {
  ...emptyProgram(),
  networkCount: 3,
  networkKey: Int32Array.of(11, 22, 33),
  networkRole: Uint8Array.of(ROLE_INSIDE, ROLE_INSIDE, ROLE_UPLINK),
  networkUplink: Int32Array.of(2, -1, 0),
};

describe('flow warmer', () => {
  const rig = new NatRig({ capacity: 32_768 });
  const rows: number[] = [];
  const frames = new FrameVector(createSlab());

  before(() => {
    for (let i = 0; i < FLOWS; i++) {
      rows.push(rig.flow(0, 4, i % 50, 5000, i, 53));
      rig.nat.flows.setExpiry(rows[i]!, 1_000_000 + i * 7919);
    }
    rig.nat.adopt(PROGRAM, 0);
  });

  /** A burst that belongs to the first flows, alternately from inside and from the uplink. */
  function fill(count = FRAMES): void {
    const { flows } = rig.nat;
    frames.count = count;
    frames.routing = count;
    for (let i = 0; i < count; i++) {
      const isOut = i % 2 === 0;
      const row = rows[i]!;
      frames.verdict[i] = ROUTING;
      frames.family[i] = 4;
      frames.fragment[i] = 0;
      frames.protocol[i] = UDP;
      frames.network[i] = isOut ? 0 : 2;
      frames.source[i * 4] = isOut ? flows.insideAddress(row) : flows.remoteAddress(row);
      frames.destination[i * 4] = isOut ? flows.remoteAddress(row) : OUTSIDE4[0]!;
      frames.sourcePort[i] = isOut ? flows.insidePort(row) : flows.remotePort(row);
      frames.destinationPort[i] = isOut ? flows.remotePort(row) : flows.outsidePort(row);
    }
  }

  /** What is touched when the flows of these frames are: with that many flows some others may share bucket and tag, but not here. */
  function expected(indexes: readonly number[]): number {
    return indexes.reduce((sum, i) => sum ^ rig.nat.flows.expiresAt(rows[i]!), 0);
  }

  function warm(): number {
    rig.nat.warmer.touched = 0;
    rig.nat.warmer.warm(frames, PROGRAM);
    return rig.nat.warmer.touched;
  }

  it('touches the flow of every frame, from inside and from the uplink', () => {
    fill();
    const before = rig.list().join('\n');
    assert.equal(warm(), expected([...Array(FRAMES).keys()]));
    assert.equal(rig.list().join('\n'), before);
    assert.ok(frames.verdict.subarray(0, FRAMES).every((verdict) => verdict === ROUTING));
  });

  it('leaves out what the NAT does not look up: other verdicts, later fragments, other protocols, IPv6, networks without NAT', () => {
    fill();
    frames.verdict[0] = DROPPED;
    frames.fragment[1] = LATER_FRAGMENT;
    frames.protocol[2] = 1;
    frames.family[3] = 6;
    frames.network[4] = 1;
    assert.equal(warm(), expected([...Array(FRAMES).keys()].slice(5)));
  });

  it('does nothing for few frames', () => {
    fill(3);
    assert.equal(warm(), 0);
    fill(4);
    assert.equal(warm(), expected([0, 1, 2, 3]));
  });

  it('does nothing for a small table', () => {
    const small = new NatRig();
    const row = small.flow(0, 4, 1, 5000, 1, 53);
    assert.ok(row >= 0);
    fill();
    small.nat.warmer.warm(frames, PROGRAM);
    assert.equal(small.nat.warmer.touched, 0);
  });
});
