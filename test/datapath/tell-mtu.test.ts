// Packets that are too large for a network whose tunnel carries less than its stations' interfaces allow: dropped by name, never cut,
// and the sender is told, by the gateway or, where there is none, in the name of the destination.
import { strict as assert } from 'node:assert';
import { CAPTURE_ARRIVALS } from '../../src/datapath/program.js';
import { PORT_DEPTH } from '../../src/tables/rate-limiter.js';
import {
  type BuiltFrame,
  ether,
  GSO_TCP4,
  ipv4,
  ipv6,
  type Packet,
  pattern,
  raw,
  superFrame,
  tcp,
  udp,
} from '../support/frame-builders.js';
import { createLab, type Lab, type LabSettings } from '../support/lab.js';
import { icmpError, icmpv6Error } from '../support/network-frames.js';
import { gatewayMac } from '../support/router-columns.js';
import { DB, GROUP, WEB } from './stations.js';

const V4 = { from: '10.90.0.1', to: '10.90.0.2' };
const V6 = { from: 'fd00::1', to: 'fd00::2' };
const MTU = [0, 0, 1450 >> 8, 1450 & 255];

const narrow = (more: Partial<LabSettings> = {}): Lab =>
  createLab({ ports: ['web', 'db'], mtu: 1450, tellsMtu: true, ...more });
const toDb = (packet: Packet): BuiltFrame => ether({ from: WEB, to: DB }, packet);
const fromDb = (packet: Packet): BuiltFrame => ether({ from: DB, to: WEB }, packet);
const large4 = ipv4(V4, udp(1, 2, pattern(1451 - 28)));
const large6 = ipv6(V6, udp(1, 2, pattern(1451 - 48)));

describe('too large a packet', () => {
  it('is dropped, and the sender hears in the name of the destination what fits', () => {
    const lab = narrow();
    lab.send('web', toDb(large4), toDb(large6));
    lab.expect(
      {
        web: [
          fromDb(ipv4({ from: V4.to, to: V4.from, id: 0, flags: 0 }, icmpError(3, 4, large4, MTU))),
          fromDb(ipv6({ from: V6.to, to: V6.from }, icmpv6Error(2, 0, large6, MTU))),
        ],
      },
      { 'exceeds-mtu': 2 },
    );
    assert.deepEqual([lab.total('originated'), lab.total('forwarded'), lab.total('dropped')], [2, 2, 2]);
  });

  it('is answered by the gateway where there is one', () => {
    const lab = narrow({ gateway: { addresses: ['10.90.0.254/24'] } });
    lab.send('web', toDb(large4));
    const told = ipv4({ from: '10.90.0.254', to: V4.from, id: 0, flags: 0 }, icmpError(3, 4, large4, MTU));
    lab.expect({ web: [ether({ from: gatewayMac(0), to: WEB }, told)] }, { 'exceeds-mtu': 1 });
  });

  it('that just fits passes, and so does a super-frame whose segments fit', () => {
    const lab = narrow();
    const fits = toDb(ipv4(V4, udp(1, 2, pattern(1450 - 28))));
    const stream = (size: number) => superFrame(toDb(ipv4(V4, tcp({}, pattern(5000)))), GSO_TCP4, size);
    lab.send('web', fits, stream(1410));
    lab.expect({ db: [fits, stream(1410)] });
    lab.send('web', stream(1411));
    const [told] = lab.take('web');
    assert.deepEqual([...told!.bytes.subarray(34, 36)], [3, 4]);
    assert.deepEqual([...told!.bytes.subarray(38, 42)], MTU);
    lab.expect({}, { 'exceeds-mtu': 1 });
  });

  it('is only dropped where nobody may be told', () => {
    const lab = narrow();
    const silent = [
      ether({ from: WEB, to: DB }, pattern(1451)),
      ether({ from: WEB, to: GROUP }, large4),
      toDb(ipv4({ from: '0.0.0.0', to: V4.to }, udp(1, 2, pattern(1423)))),
      toDb(ipv4({ ...V4, flags: 0x0001 }, raw(17, pattern(1431)))),
      toDb(ipv4(V4, raw(1, Uint8Array.from([3, 4, ...pattern(1450)])))),
    ];
    lab.send('web', ...silent);
    lab.expect({}, { 'exceeds-mtu': silent.length });
  });

  it('is only dropped in other networks', () => {
    const lab = narrow({ tellsMtu: false });
    lab.send('web', toDb(large4));
    lab.expect({}, { 'exceeds-mtu': 1 });
  });

  it('out of a tunnel is only dropped', () => {
    const vteps = { v: { kind: 'socket', address: '192.0.2.1' } } as const;
    const lab = narrow({ vteps, overlay: { vtep: 'v', vni: 1, floods: ['192.0.2.2'] } });
    const bytes = Uint8Array.from([8, 0, 0, 0, 0, 0, 1, 0, ...toDb(large4).bytes]);
    lab.send('v', { bytes, vnet: null, peer: { address: '192.0.2.2', port: 50000 } });
    lab.expect({}, { 'exceeds-mtu': 1 });
  });

  it('is told in the VLAN that it came from', () => {
    const lab = narrow({ ports: { trunk: { capture: CAPTURE_ARRIVALS }, db: { vlan: 7 } } });
    lab.send('trunk', ether({ from: WEB, to: DB, tags: [7] }, large4));
    const told = ipv4({ from: V4.to, to: V4.from, id: 0, flags: 0 }, icmpError(3, 4, large4, MTU));
    lab.expect({ trunk: [ether({ from: DB, to: WEB, tags: [7] }, told)] }, { 'exceeds-mtu': 1 });
  });

  it('is not told more often than errors may be', () => {
    const lab = narrow();
    const many = PORT_DEPTH + 30;
    for (let n = 0; n < many; n += 10) lab.send('web', ...Array.from({ length: 10 }, () => toDb(large4)));
    assert.equal(lab.take('web').length, PORT_DEPTH);
    lab.expect({}, { 'exceeds-mtu': many });
  });
});
