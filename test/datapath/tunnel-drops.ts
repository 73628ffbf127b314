/** For each reason to drop that has to do with tunnels, a lab in which exactly one frame is dropped for it. */
import { constants } from 'node:os';
import type { DropName } from '../../src/datapath/drop-reasons.js';
import { MAX_REMOTES } from '../../src/datapath/program.js';
import { createLab, type Lab } from '../support/lab.js';
import { addressRow, keyOf, type OverlaySettings, type VtepSettings } from '../support/tunnel-columns.js';
import { datagram, outerFrame, vxlan } from '../support/vxlan-frames.js';
import { DB, message, STRANGER, WEB } from './stations.js';

const HERE = '192.0.2.1';
const THERE = '192.0.2.2';
const SOCKET: VtepSettings = { kind: 'socket', address: HERE };
const TAP: VtepSettings = { kind: 'tap', address: HERE };
const PAYLOAD = vxlan(5000, message(DB, WEB, 'hello').bytes);

function tunnel(vtep: VtepSettings, overlay: Partial<OverlaySettings> = {}): Lab {
  return createLab({ vteps: { v: vtep }, ports: ['web'], overlay: { vtep: 'v', vni: 5000, ...overlay } });
}

function received(lab: Lab, ...frames: Parameters<Lab['send']>[1][]): Lab {
  lab.send('v', ...frames);
  return lab;
}

export const DECAPSULATION_CASES = {
  'vxlan-malformed': () => received(tunnel(SOCKET), datagram(THERE, PAYLOAD.subarray(0, 21))),
  'vxlan-flags': () => received(tunnel(SOCKET), datagram(THERE, vxlan(5000, PAYLOAD.subarray(8), { flags: 0 }))),
  'vxlan-unknown-vni': () => received(tunnel(SOCKET), datagram(THERE, vxlan(5001, PAYLOAD.subarray(8)))),
  'vxlan-unknown-vtep': () => received(tunnel(SOCKET, { closed: true }), datagram(THERE, PAYLOAD)),
  'vxlan-own-address': () => received(tunnel(SOCKET), datagram(HERE, PAYLOAD)),
  'vxlan-checksum': () => {
    const { bytes } = outerFrame({ from: THERE, to: HERE }, PAYLOAD);
    bytes[40]! ^= 0x55;
    return received(tunnel(TAP), { bytes, vnet: null });
  },
  'vxlan-fragment': () => received(tunnel(TAP), outerFrame({ from: THERE, to: HERE, flags: 0x2000 }, PAYLOAD)),
  'vxlan-congestion': () => {
    return received(tunnel(SOCKET), datagram({ address: THERE, port: 50_000, trafficClass: 3 }, PAYLOAD));
  },
  'remotes-full': () => {
    const lab = tunnel(SOCKET);
    for (let n = 0; n < MAX_REMOTES; n++) {
      const [, ...words] = addressRow(`10.0.${n >> 8}.${n & 255}`);
      lab.remotes.pin(lab.remotes.intern(keyOf('v'), 4, Int32Array.from(words), 0, 0));
    }
    return received(lab, datagram(THERE, PAYLOAD));
  },
  'split-horizon': () => {
    const lab = received(tunnel(SOCKET), datagram(THERE, PAYLOAD));
    lab.ignoreDepartures();
    return received(lab, datagram('192.0.2.3', vxlan(5000, message(STRANGER, DB, 'to the other').bytes)));
  },
} satisfies Partial<Record<DropName, () => Lab>>;

/** One frame that floods into a tunnel, over a socket that fails with that errno. */
function refused(errno: number): Lab {
  const lab = tunnel({ ...SOCKET, senders: 1 }, { floods: [THERE] });
  lab.io.port(lab.index('v/0')).transmitErrno = errno;
  lab.send('web', message(WEB, DB, 'hello'));
  return lab;
}

export const ENCAPSULATION_CASES = {
  'exceeds-underlay': () => refused(constants.errno.EMSGSIZE),
  'no-underlay-route': () => refused(constants.errno.ENETUNREACH),
} as const satisfies Partial<Record<DropName, () => Lab>>;
