/** A lab with three networks whose gateway is weft, and what its tests talk about: web on blue, db on red, cache on green. */
import { type BuiltFrame, ether, type Packet } from '../support/frame-builders.js';
import { createLab, type Lab, type LabSettings } from '../support/lab.js';
import { gatewayMac } from '../support/router-columns.js';
import { DB, WEB } from './stations.js';

export const BLUE = gatewayMac(0);
export const RED = gatewayMac(1);
export const NEIGHBOURS = [
  { address: '10.0.0.2', mac: WEB, port: 'web' },
  { address: 'fd00:a::2', mac: WEB, port: 'web' },
];

/** web on blue, db on red, cache on green, to which there is no route. */
export function routedLab(red: Partial<LabSettings> = {}, ports: { web?: object; db?: object } = {}): Lab {
  return createLab({
    ports: {
      web: { ...ports.web },
      db: { network: 'red', ...ports.db },
      cache: { network: 'green' },
    },
    gateway: { addresses: ['10.0.0.1/24', 'fd00:a::1/64'], routesTo: ['red'], neighbours: NEIGHBOURS },
    networks: {
      red: {
        gateway: {
          addresses: ['10.0.1.1/24', 'fd00:b::1/64'],
          routesTo: ['blue'],
          neighbours: [
            { address: '10.0.1.2', mac: DB, port: 'db' },
            { address: 'fd00:b::2', mac: DB, port: 'db' },
          ],
        },
        ...red,
      },
      green: { gateway: { addresses: ['10.0.2.1/24'] } },
    },
  });
}

export const V4 = { from: '10.0.0.2', to: '10.0.1.2' };
export const V6 = { from: 'fd00:a::2', to: 'fd00:b::2' };
export const fromWeb = (packet: Packet): BuiltFrame => ether({ from: WEB, to: BLUE }, packet);
export const toWeb = (packet: Packet): BuiltFrame => ether({ from: BLUE, to: WEB }, packet);
export const fromDb = (packet: Packet): BuiltFrame => ether({ from: DB, to: RED }, packet);
export const toDb = (packet: Packet): BuiltFrame => ether({ from: RED, to: DB }, packet);
/** What an error of weft's own looks like around the packet that it is about. */
export const V4_ERROR = { from: '10.0.0.1', to: '10.0.0.2', id: 0, flags: 0 };
export const V6_ERROR = { from: 'fd00:a::1', to: 'fd00:a::2' };
