/** A lab whose network `blue` has a tunnel to other VTEPs, and what its tests talk about: all that `web` sends goes to the peers. */
import {
  type BuiltFrame,
  ether,
  GSO_TCP4,
  ipv4,
  superFrame,
  TCP_ACK,
  TCP_PUSH,
  type TestFrame,
  tcp,
} from '../support/frame-builders.js';
import { createLab, type Lab, type LabSettings } from '../support/lab.js';
import { datagramsOf, type OuterFrame, onTheWire, readOuter, readVxlan } from '../support/outer-frames.js';
import type { VtepSettings } from '../support/tunnel-columns.js';
import { DB, WEB } from './stations.js';

export const HERE = '192.0.2.1';
export const THERE = '192.0.2.2';
export const HERE6 = '2001:db8::1';
export const THERE6 = '2001:db8::2';
export const V4 = { from: '10.90.0.1', to: '10.90.0.2' };
export const V6 = { from: 'fd00::1', to: 'fd00::2' };

export const tap = (settings: Partial<VtepSettings> = {}): VtepSettings => ({
  kind: 'tap',
  address: HERE,
  ...settings,
});
export const socket = (settings: Partial<VtepSettings> = {}): VtepSettings => ({
  kind: 'socket',
  address: HERE,
  ...settings,
});

/** Unknown destinations flood, so that everything that `web` sends goes to the peers. */
export function lab(vtep: VtepSettings, more: Partial<LabSettings> = {}, floods: readonly string[] = [THERE]): Lab {
  const overlay = { vtep: 'v', vni: 5000, floods };
  return createLab({ ports: ['web'], vteps: { v: vtep }, overlay, ...more });
}

/** Everything that left through the TAP, as it is on the wire. */
export function outers(from: Lab): OuterFrame[] {
  return from.take('v').flatMap(onTheWire).map(readOuter);
}

/** Every datagram that left through a socket. */
export function datagrams(from: Lab, senders = 2) {
  const messages = Array.from({ length: senders }, (_, n) => from.take(`v/${n}`)).flat();
  return messages.flatMap((each) => datagramsOf(each).map((payload) => ({ ...each.peer!, ...readVxlan(payload) })));
}

export function frame(packet: ReturnType<typeof ipv4>): BuiltFrame {
  return ether({ from: WEB, to: DB }, packet);
}

export const inners = (frames: readonly { inner: Uint8Array }[]): Uint8Array[] => frames.map(({ inner }) => inner);
export const bytesOf = (frames: readonly TestFrame[]): Uint8Array[] => frames.map(({ bytes }) => bytes);

/** What a super-frame of TCP over IPv4 stands for. */
export function segments(payload: Uint8Array, size: number): BuiltFrame[] {
  const count = Math.ceil(payload.length / size);
  return Array.from({ length: count }, (_, n) => {
    const flags = n === count - 1 ? TCP_ACK | TCP_PUSH : TCP_ACK;
    const transport = tcp({ sequence: 7 + n * size, flags }, payload.slice(n * size, (n + 1) * size));
    return frame(ipv4({ ...V4, id: 50 + n }, transport));
  });
}

export function superTcp(payload: Uint8Array, size: number): BuiltFrame {
  const transport = tcp({ sequence: 7, flags: TCP_ACK | TCP_PUSH }, payload);
  return superFrame(frame(ipv4({ ...V4, id: 50 }, transport)), GSO_TCP4, size);
}
