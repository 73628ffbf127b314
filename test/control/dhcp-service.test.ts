// The DHCP service over the whole control thread: who asks is known by the port, and gets what IPAM gave to its endpoint.
import { strict as assert } from 'node:assert';
import { HEAD_WORD, TAIL_WORD } from '../../src/capture/capture-layout.js';
import { PuntRing } from '../../src/capture/punt-ring.js';
import type { DhcpCount } from '../../src/control/controller.js';
import { ARRIVAL, NOT_DROPPED } from '../../src/datapath/frame-tap.js';
import { FrameVector } from '../../src/frames/frame-vector.js';
import { createSlab } from '../../src/frames/slab.js';
import { Prng } from '../../src/lib/prng.js';
import { OutboundRingReader } from '../../src/ports/outbound-ring.js';
import { formatIpv4, formatMac } from '../../src/wire/addresses.js';
import * as dhcp4 from '../../src/wire/dhcp4.js';
import * as dhcp6 from '../../src/wire/dhcp6.js';
import { readUdpFrame, type UdpDatagram, writeUdpFrame } from '../../src/wire/udp-frame.js';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';
import { mac } from '../support/frame-builders.js';
import { hexBytes } from '../support/hex.js';

const { DISCOVER, DECLINE, RELEASE, REQUEST_ADDRESS, OPTION } = dhcp4;
const ALL_SERVERS = hexBytes('ff020000000000000000000000010002');
const LINK_LOCAL = hexBytes('fe800000000000000000000000000009');

describe('DHCP service', () => {
  let lab: ControlLab;
  let removeDirectory: () => Promise<void>;

  beforeEach(async () => {
    const { directory, remove } = await makeStateDirectory();
    removeDirectory = remove;
    lab = await startLab(directory);
    const subnets = ['10.80.0.0/24', 'fd00:80::/64'];
    await lab.controller.createNetwork({ name: 'front', type: 'nat', uplink: 'none', subnets });
    await lab.controller.createCompartment({ name: 'box' });
    await lab.controller.createEndpoint({ name: 'web', network: 'front', compartment: 'box', configure: false });
    await lab.controller.createEndpoint({ name: 'db', network: 'front', compartment: 'box', ip: '10.80.0.77' });
  });

  afterEach(async () => {
    await lab.close();
    await removeDirectory();
  });

  function ring(): PuntRing {
    return new PuntRing(lab.datapath.tables.punts, SLAB.bytes, () => 0);
  }

  /** As the datapath does with a request, from the port of an endpoint. */
  async function punt(endpoint: string, frame: Uint8Array): Promise<void> {
    const port = lab.controller.getEndpoint(endpoint).port!;
    SLAB.bytes.set(frame, 4096);
    const punts = ring();
    punts.record(4096, frame.length, port, ARRIVAL, NOT_DROPPED, -1, 0, frame.length);
    punts.commit();
    await settle(lab);
  }

  /** What was sent since the last call: the port, and the datagram. */
  function sent(): { endpoint: string | undefined; datagram: UdpDatagram }[] {
    const frames = new FrameVector(createSlab());
    const slab = createSlab();
    const reader = new OutboundRingReader(lab.datapath.tables.outbound, slab, frames);
    const { portCount, portSerial, portNetwork } = lab.datapath.program;
    reader.take(portCount, portSerial, portNetwork);
    const endpoints = lab.controller.listEndpoints();
    return Array.from({ length: frames.originated }, (_, row) => {
      const at = frames.start[row]!;
      const datagram = readUdpFrame(slab.bytes.slice(at, at + frames.length[row]!));
      assert.ok(datagram !== null, 'what is sent is a sound datagram');
      const endpoint = endpoints.find(({ port }) => port === frames.egressPort[row])?.name;
      return { endpoint, datagram };
    });
  }

  function request(endpoint: string, type: number, options: [number, Uint8Array][] = [], from = ''): Uint8Array {
    const hardware = Uint8Array.from(mac(from === '' ? lab.controller.getEndpoint(endpoint).mac : from));
    const payload = dhcp4.writeDhcp4(
      {
        ...{ operation: dhcp4.REQUEST, transaction: 7, wantsBroadcast: false, clientAddress: 0, yourAddress: 0 },
        ...{ relayAddress: 0, hardware, options: new Map([[OPTION.messageType, Uint8Array.of(type)], ...options]) },
      },
      1000,
    );
    const all = new Uint8Array(6).fill(255);
    const ports = { sourcePort: dhcp4.CLIENT_PORT, destinationPort: dhcp4.SERVER_PORT };
    const source = new Uint8Array(4);
    const destination = new Uint8Array(4).fill(255);
    return writeUdpFrame({
      family: 4,
      sourceMac: hardware,
      destinationMac: all,
      source,
      destination,
      ...ports,
      payload,
    });
  }

  function information(type = dhcp6.INFORMATION_REQUEST, destination = ALL_SERVERS): Uint8Array {
    const payload = dhcp6.writeDhcp6({ type, transaction: 7, options: [] });
    const sourceMac = hexBytes('020000000009');
    const ports = { sourcePort: dhcp6.CLIENT_PORT, destinationPort: dhcp6.SERVER_PORT };
    const macs = { sourceMac, destinationMac: hexBytes('333300010002') };
    return writeUdpFrame({ family: 6, ...macs, source: LINK_LOCAL, destination, ...ports, payload });
  }

  function counts(): Record<string, number> {
    return Object.fromEntries(lab.controller.stats().dhcp.map(({ what, count }: DhcpCount) => [what, count]));
  }

  function gatewayMac(): string {
    const { program } = lab.datapath;
    const row = program.portNetwork[lab.controller.getEndpoint('web').port!]!;
    return formatMac(program.gatewayMacHigh[row]!, program.gatewayMacLow[row]!);
  }

  it('offers the endpoint its address, through its own port, in the name of the gateway', async () => {
    await punt('web', request('web', DISCOVER));
    const [offer, ...more] = sent();
    assert.deepEqual(more, []);
    assert.equal(offer?.endpoint, 'web');
    const { source, destination, sourceMac, destinationMac, sourcePort, destinationPort, payload } = offer.datagram;
    assert.deepEqual(sourceMac, Uint8Array.from(mac(gatewayMac())));
    assert.deepEqual(destinationMac, Uint8Array.from(mac(lab.controller.getEndpoint('web').mac)));
    assert.deepEqual([source, destination], [hexBytes('0a500001'), hexBytes('0a500002')]);
    assert.deepEqual([sourcePort, destinationPort], [67, 68]);
    const message = dhcp4.readDhcp4(payload)!;
    assert.equal(formatIpv4(message.yourAddress), '10.80.0.2');
    assert.equal(new TextDecoder().decode(message.options.get(OPTION.hostName)), 'web');
    assert.equal(new TextDecoder().decode(message.options.get(OPTION.domainName)), 'front.weft');
    assert.deepEqual(counts(), { discover: 1, offer: 1 });
  });

  it('sets up an endpoint that configures itself without addresses and routes', () => {
    const box = lab.machine.namespaces.get('/run/netns/box')!;
    const [web, db] = [...box.interfaces.values()];
    assert.deepEqual([web?.addresses, web?.routes], [[], []]);
    assert.deepEqual([db?.addresses, db?.routes.length], [['10.80.0.77/24', 'fd00:80::3/64'], 2]);
  });

  it('tells of the first lease of an attachment, and of an address that somebody else uses', async () => {
    const events = () =>
      lab.controller
        .eventsSince(0)
        .filter(({ type }) => type === 'dhcp-leased' || type === 'warning')
        .map(({ message }) => message);
    const own: [number, Uint8Array] = [OPTION.requestedAddress, hexBytes('0a500002')];
    await punt('web', request('web', REQUEST_ADDRESS, [own]));
    await punt('web', request('web', REQUEST_ADDRESS, [own]));
    assert.equal(sent().length, 2);
    assert.deepEqual(events(), ['endpoint web has leased 10.80.0.2 by DHCP']);
    for (let i = 0; i < 2; i++) await punt('web', request('web', DECLINE, [own]));
    assert.deepEqual(events().slice(1), ['endpoint web declined 10.80.0.2: it says that another station uses it']);
    await punt('web', request('web', DISCOVER));
    assert.deepEqual(sent(), [], 'not while it has just been declined');
    assert.deepEqual(counts(), { request: 2, ack: 2, decline: 2, discover: 1, declined: 1 });
  });

  it('gives nothing to other MACs at the port of an endpoint, and goes on serving the endpoint', async () => {
    for (let i = 0; i < 20; i++) await punt('web', request('web', DISCOVER, [], `02:aa:00:00:00:0${i % 10}`));
    assert.deepEqual(sent(), []);
    await punt('web', request('web', DISCOVER, [[OPTION.requestedAddress, hexBytes('0a50004d')]]));
    const [offer] = sent();
    assert.equal(formatIpv4(dhcp4.readDhcp4(offer!.datagram.payload)!.yourAddress), '10.80.0.2', 'not that of db');
    assert.deepEqual(counts(), { discover: 21, 'foreign-mac': 20, offer: 1 });
  });

  it('answers over IPv6 from the link-local address of the gateway', async () => {
    await punt('web', information());
    const [reply, ...more] = sent();
    assert.deepEqual(more, []);
    assert.equal(reply?.endpoint, 'web');
    const [a, b, c, d, e, f] = mac(gatewayMac()) as [number, number, number, number, number, number];
    const { datagram } = reply;
    assert.deepEqual([...datagram.source], [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    assert.deepEqual(datagram.destination, LINK_LOCAL);
    assert.equal(datagram.destinationPort, 546);
    const message = dhcp6.readDhcp6(datagram.payload)!;
    assert.deepEqual(dhcp6.option6(message, dhcp6.OPTION6.nameServers), hexBytes('fd000080000000000000000000000001'));
    assert.deepEqual(counts(), { 'information-request': 1, reply: 1 });
  });

  it('leases the IPv6 address of the endpoint to the endpoint alone', async () => {
    const options = [
      { code: dhcp6.OPTION6.clientId, value: hexBytes('00030001020000000009') },
      { code: dhcp6.OPTION6.addresses, value: hexBytes('000000010000000000000000') },
    ];
    const rapid = { code: dhcp6.OPTION6.rapidCommit, value: new Uint8Array(0) };
    const payload = dhcp6.writeDhcp6({ type: dhcp6.SOLICIT, transaction: 7, options: [...options, rapid] });
    const solicit = readUdpFrame(information())!;
    await punt('web', writeUdpFrame({ ...solicit, payload }));
    assert.deepEqual(sent(), [], 'a MAC behind the endpoint');
    const sourceMac = Uint8Array.from(mac(lab.controller.getEndpoint('web').mac));
    await punt('web', writeUdpFrame({ ...solicit, sourceMac, payload }));
    const [reply] = sent();
    const given = dhcp6.option6(dhcp6.readDhcp6(reply!.datagram.payload)!, dhcp6.OPTION6.addresses);
    const { addresses } = dhcp6.readAssociation(given!)!;
    assert.deepEqual(addresses, [{ address: hexBytes('fd000080000000000000000000000002'), validSeconds: 3600 }]);
    assert.deepEqual(counts(), { solicit: 2, 'foreign-mac': 1, reply: 1 });
    const { message } = lab.controller.eventsSince(0).find(({ type }) => type === 'dhcp-leased')!;
    assert.equal(message, 'endpoint web has leased fd00:80::2 by DHCP');
  });

  it('survives whatever is in a datagram', async () => {
    const seeds = [request('web', DISCOVER), request('web', REQUEST_ADDRESS), information(), information(dhcp6.REBIND)];
    const prng = new Prng(11);
    for (let round = 0; round < 500; round++) {
      const datagram = readUdpFrame(seeds[round % seeds.length]!)!;
      const payload = datagram.payload.slice(0, 1 + prng.below(datagram.payload.length));
      // The fields that decide stand in front and behind the cookie.
      for (let i = prng.below(6); i > 0; i--) payload[prng.below(payload.length)] = prng.below(256);
      for (let i = prng.below(6); i > 0; i--)
        payload[Math.min(payload.length - 1, 236 + prng.below(24))] = prng.below(256);
      await punt('web', writeUdpFrame({ ...datagram, payload }));
      for (const { endpoint } of sent()) assert.equal(endpoint, 'web');
    }
    await punt('web', request('web', DISCOVER));
    assert.equal(sent().length, 1, 'it still serves');
  });

  it('counts what it leaves alone, by reason', async () => {
    await punt('web', new Uint8Array(60));
    await punt('web', information(10));
    await punt('web', information(dhcp6.INFORMATION_REQUEST, LINK_LOCAL));
    await punt('web', request('web', 2));
    await punt('web', request('web', RELEASE));
    assert.deepEqual(sent(), []);
    assert.deepEqual(counts(), { malformed: 1, 'not-a-request': 3, release: 1, 'no-address': 1 });
  });

  it('is silent on a network without DHCP', async () => {
    await lab.controller.createNetwork({
      ...{ name: 'quiet', type: 'nat', uplink: 'none', subnets: ['10.81.0.0/24'], dhcp: false },
    });
    await lab.controller.createEndpoint({ name: 'mute', network: 'quiet', compartment: 'box' });
    await punt('mute', request('mute', DISCOVER));
    assert.deepEqual(sent(), []);
  });

  it('gives the same lease after a restart: there is nothing to forget', async () => {
    const own: [number, Uint8Array] = [OPTION.requestedAddress, hexBytes('0a500002')];
    lab = await lab.restart();
    await punt('web', request('web', REQUEST_ADDRESS, [own]));
    const [ack] = sent();
    assert.equal(dhcp4.readDhcp4(ack!.datagram.payload)!.options.get(OPTION.messageType)?.[0], dhcp4.ACK);
  });
});

const SLAB = createSlab();

/** Until the service has read what was punted. */
async function settle(lab: ControlLab): Promise<void> {
  const control = new Int32Array(lab.datapath.tables.punts, 0, 64);
  const deadline = Date.now() + 10_000;
  while (control[HEAD_WORD] !== control[TAIL_WORD]) {
    assert.ok(Date.now() < deadline, 'the service reads');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
