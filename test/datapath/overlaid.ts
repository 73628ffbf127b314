/**
 * A lab of one host with an overlay network whose gateway is weft, and what its tests talk about: web and db on this host, others behind
 * the VTEPs NEAR and FAR. Frames in the tunnel are sent and read as what is inside of them.
 */
import type { BuiltFrame, Packet, TestFrame } from '../support/frame-builders.js';
import { ether } from '../support/frame-builders.js';
import { printFrame } from '../support/frame-printer.js';
import { createLab, type Lab, type LabSettings } from '../support/lab.js';
import { DB, WEB } from './stations.js';

export const OWN = '192.0.2.1';
export const NEAR = '192.0.2.2';
export const FAR = '192.0.2.3';
export const VNI = 5000;
/** Of the gateway on every host, and of the router of this one. */
export const GATEWAY = '02:57:45:00:13:88';
export const ROUTER = '02:77:00:00:00:01';
/** Behind NEAR. */
export const MAIL = '02:00:5e:00:00:21';
const SENDERS = ['v/0', 'v/1'];

export const NEIGHBOURS = [
  { address: '10.0.0.2', mac: WEB, port: 'web' },
  { address: 'fd00:a::2', mac: WEB, port: 'web' },
  { address: '10.0.0.3', mac: DB, port: 'db' },
  { address: 'fd00:a::3', mac: DB, port: 'db' },
];

export function overlaid(gateway: object = {}, settings: Partial<LabSettings> = {}): Lab {
  return createLab({
    ports: ['web', 'db'],
    vteps: { v: { kind: 'socket', address: OWN } },
    overlay: { vtep: 'v', vni: VNI, floods: [NEAR, FAR] },
    gateway: {
      addresses: ['10.0.0.1/24', 'fd00:a::1/64'],
      mac: GATEWAY,
      ownMac: ROUTER,
      suppress: true,
      neighbours: NEIGHBOURS,
      ...gateway,
    },
    ...settings,
  });
}

/** The datagram that a VTEP sends with a frame inside. */
export function encapsulated(from: string, { bytes }: TestFrame, vni = VNI): TestFrame {
  const header = Uint8Array.of(8, 0, 0, 0, vni >>> 16, (vni >>> 8) & 0xff, vni & 0xff, 0);
  return { bytes: Uint8Array.from(Buffer.concat([header, bytes])), vnet: null, peer: { address: from, port: 50_000 } };
}

/** Lets a frame come in from a VTEP. */
export function arrive(lab: Lab, from: string, frame: TestFrame, vni = VNI): void {
  lab.send('v', encapsulated(from, frame, vni));
}

/** What left through the tunnel since the last call, sorted: `VTEP VNI: FRAME`. */
export function tunnelled(lab: Lab): string[] {
  const messages = SENDERS.flatMap((name) => lab.take(name));
  const frames = messages.flatMap(({ bytes, peer }) => {
    const size = peer!.segmentBytes || bytes.length;
    const datagrams: string[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      const datagram = bytes.slice(at, at + size);
      datagrams.push(told(peer!.address, { bytes: datagram.slice(8), vnet: null }, vniOf(datagram)));
    }
    return datagrams;
  });
  return frames.sort();
}

/** As `tunnelled` tells it. */
export function told(to: string, { bytes }: TestFrame, vni = VNI): string {
  return `${to} ${vni}: ${printFrame({ bytes, vnet: null })}`;
}

function vniOf(bytes: Uint8Array): number {
  return (bytes[4]! << 16) | (bytes[5]! << 8) | bytes[6]!;
}

export const fromWeb = (to: string, packet: Packet): BuiltFrame => ether({ from: WEB, to }, packet);
export const toWeb = (packet: Packet): BuiltFrame => ether({ from: GATEWAY, to: WEB }, packet);
