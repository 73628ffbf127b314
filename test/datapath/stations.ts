/** Stations and frames that the datapath tests talk about. */
import { type BuiltFrame, ether, ipv4, type Tag, udp } from '../support/frame-builders.js';

export const WEB = '02:00:5e:00:00:01';
export const DB = '02:00:5e:00:00:02';
export const CACHE = '02:00:5e:00:00:03';
/** Nobody has this one. */
export const STRANGER = '02:00:5e:00:00:99';
export const GROUP = '01:00:5e:00:00:fb';

/** A small datagram, recognisable by its text. */
export function message(from: string, to: string, text: string, tags: readonly Tag[] = []): BuiltFrame {
  return ether({ from, to, tags }, ipv4({ from: '192.0.2.1', to: '192.0.2.2' }, udp(4000, 53, text)));
}
