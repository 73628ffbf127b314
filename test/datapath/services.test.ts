// The ways between the datapath and services of the control thread: requests that it hands over, answers that it sends out.
import { strict as assert } from 'node:assert';
import { ENTRY, type FrameTap } from '../../src/datapath/frame-tap.js';
import { CAPTURE_DEPARTURES } from '../../src/datapath/program.js';
import { BROADCAST, type BuiltFrame, ether, ipv4, ipv6, partial, udp } from '../support/frame-builders.js';
import { printFrame } from '../support/frame-printer.js';
import { createLab, type Lab, type LabSettings, seconds } from '../support/lab.js';
import { gatewayMac } from '../support/router-columns.js';
import { DB, WEB } from './stations.js';

const GATEWAY = gatewayMac(0);
const PORTS = ['web', 'db'];
const ALL_DHCP = { mac: '33:33:00:01:00:02', ip: 'ff02::1:2' };

const discover = ether(
  { from: WEB, to: BROADCAST },
  ipv4({ from: '0.0.0.0', to: '255.255.255.255' }, udp(68, 67, 'x')),
);
const renewal = ether({ from: WEB, to: GATEWAY }, ipv4({ from: '10.0.0.2', to: '10.0.0.1' }, udp(68, 67, 'x')));
const information = ether({ from: WEB, to: ALL_DHCP.mac }, ipv6({ from: 'fe80::2', to: ALL_DHCP.ip }, udp(546, 547)));
const offer = ether({ from: GATEWAY, to: WEB }, ipv4({ from: '10.0.0.1', to: '10.0.0.2' }, udp(67, 68, 'an offer')));

function dhcpLab(settings: Partial<LabSettings> = {}): Lab {
  const gateway = { addresses: ['10.0.0.1/24', 'fd00::1/64'], dhcp: true };
  return createLab({ ports: PORTS, gateway, ...settings });
}

function punted(frame: BuiltFrame): string {
  return `web: ${printFrame(frame)}`;
}

describe('services of the control thread', () => {
  it('get the requests of DHCP, broadcast, unicast and over IPv6, and nobody else does', () => {
    const lab = dhcpLab();
    for (const request of [discover, renewal, information]) {
      lab.send('web', request);
      assert.deepEqual(lab.takePunted(), [punted(request)]);
    }
    assert.deepEqual([lab.total('arrivals'), lab.total('consumed')], [3, 3]);
    assert.deepEqual(lab.macTable(), [`0 ${WEB} web`], 'the sender is learned like any other');
  });

  it('get them with their checksums complete', () => {
    const lab = dhcpLab();
    lab.send('web', partial(discover));
    assert.deepEqual(lab.takePunted(), [punted(discover)]);
  });

  it('get no answers of DHCP servers, nothing of VLANs, and nothing where weft does not serve', () => {
    const lab = dhcpLab();
    lab.send('db', ether({ from: DB, to: BROADCAST }, ipv4({ from: '10.0.0.9', to: '255.255.255.255' }, udp(67, 68))));
    assert.equal(lab.take('web').length, 1);
    const tagged = ether(
      { from: WEB, to: BROADCAST, tags: [7] },
      ipv4({ from: '0.0.0.0', to: '255.255.255.255' }, udp(68, 67)),
    );
    lab.send('web', tagged);
    lab.expect({ db: [tagged] });
    lab.change({ ports: PORTS, gateway: { addresses: ['10.0.0.1/24'] } });
    lab.send('web', discover);
    lab.expect({ db: [discover] });
  });

  it('hear a port ten times a second, and the others as if nothing had happened', () => {
    const lab = dhcpLab();
    lab.send('web', ...Array.from({ length: 20 }, () => discover));
    lab.expect({}, { 'service-limit': 12 });
    assert.equal(lab.takePunted().length, 8);
    const other = ether({ from: DB, to: BROADCAST }, ipv4({ from: '0.0.0.0', to: '255.255.255.255' }, udp(68, 67)));
    lab.send('db', other);
    assert.deepEqual(lab.takePunted(), [`db: ${printFrame(other)}`]);
    lab.advance(seconds(1));
    lab.send('web', discover);
    assert.equal(lab.takePunted().length, 1);
  });

  it('send frames out through one port, which count as made by weft', () => {
    const lab = dhcpLab({ ports: { web: { accepts: 0 }, db: {} } });
    lab.sendOut('web', offer);
    lab.expect({ web: [offer] });
    assert.deepEqual([lab.total('arrivals'), lab.total('originated'), lab.total('forwarded')], [0, 1, 1]);
    assert.deepEqual([lab.total('departures'), lab.total('sent')], [1, 1]);
    assert.deepEqual(lab.macTable(), [], 'nothing is learned from them');
  });

  it('send frames out in the turn that takes in others', () => {
    const lab = dhcpLab();
    lab.send('web', ether({ from: WEB, to: DB }, 'here'));
    lab.ignoreDepartures();
    lab.queue('db', ether({ from: DB, to: WEB }, 'to web'));
    lab.queue('web', discover);
    lab.sendOut('web', offer);
    assert.equal(lab.take('web').length, 2);
    assert.equal(lab.takePunted().length, 1);
  });

  it('send nothing to an endpoint that took over the row of another', () => {
    const lab = dhcpLab();
    lab.change({ ports: ['db'], gateway: { addresses: ['10.0.0.1/24'], dhcp: true } });
    assert.throws(() => lab.sendOut('web', offer), /web is a port/);
    lab.change({ ports: ['db', 'new'], gateway: { addresses: ['10.0.0.1/24'], dhcp: true } });
    const former = { index: lab.index('new'), serial: 1 };
    lab.outbound.write(former.index, former.serial, offer.bytes, null);
    lab.run();
    lab.expect({});
    assert.equal(lab.outbound.stale(former.index), 1);
  });

  it('are seen by a capture of the port', () => {
    const seen: number[][] = [];
    const tap = (): FrameTap => ({
      setTime() {},
      record: (_at, length, port, direction) => void seen.push([length, port, direction]),
      recordSplit: (_head, headBytes, _body, bodyBytes, port, direction) =>
        void seen.push([headBytes + bodyBytes, port, direction]),
      commit() {},
    });
    const lab = dhcpLab({ ports: { web: { capture: CAPTURE_DEPARTURES } }, captureSnaplen: 65_535, tap });
    lab.sendOut('web', offer);
    lab.expect({ web: [offer] });
    assert.deepEqual(seen, [[offer.bytes.length, lab.index('web'), ENTRY]]);
  });
});
