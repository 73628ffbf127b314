// The DHCPv4 server's answers, state by state of RFC 2131 figure 5, and to clients that are wrong, greedy or broken.
import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import {
  answerDhcp4,
  BROADCAST,
  type Dhcp4Client,
  type Dhcp4Decision,
  type Dhcp4Network,
  requestName,
} from '../../src/control/dhcp/dhcp4-server.js';
import {
  ACK,
  DECLINE,
  type Dhcp4Message,
  DISCOVER,
  INFORM,
  NAK,
  OFFER,
  OPTION,
  RELEASE,
  REQUEST,
  REQUEST_ADDRESS,
  readDhcp4,
} from '../../src/wire/dhcp4.js';
import { hexBytes } from '../support/hex.js';

const OWN = 0x0a500009;
const SECOND = 0x0a510009;
const FOREIGN = 0x0a500063;
const GATEWAY = 0x0a500001;
const SECOND_GATEWAY = 0x0a510001;
const MAC = hexBytes('020000000009');

const NETWORK: Dhcp4Network = {
  gateways: [GATEWAY, SECOND_GATEWAY],
  nameServers: [GATEWAY],
  domain: 'front.weft',
  mtu: 1400,
  leaseSeconds: 3600,
  routes: [],
};

const CLIENT: Dhcp4Client = {
  hostName: 'web',
  mac: MAC,
  addresses: [
    { address: OWN, prefix: 24, gateway: GATEWAY },
    { address: SECOND, prefix: 16, gateway: SECOND_GATEWAY },
  ],
  hasDefaultRoute: true,
  declined: [],
};

interface Asking {
  clientAddress?: number;
  relayAddress?: number;
  wantsBroadcast?: boolean;
  hardware?: Uint8Array;
  options?: Record<number, Uint8Array | number>;
}

function ask(type: number, fields: Asking = {}): Dhcp4Message {
  const { options = {}, ...rest } = fields;
  const given = Object.entries(options).map(([code, value]): [number, Uint8Array] => [Number(code), bytesOf(value)]);
  return {
    operation: REQUEST,
    transaction: 0x12345678,
    wantsBroadcast: false,
    clientAddress: 0,
    yourAddress: 0,
    relayAddress: 0,
    hardware: MAC,
    ...rest,
    options: new Map([[OPTION.messageType, Uint8Array.of(type)], ...given]),
  };
}

/** A number is an address. */
function bytesOf(value: Uint8Array | number): Uint8Array {
  if (typeof value !== 'number') return value;
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

interface Heard {
  name: string;
  to: number;
  type: number | undefined;
  clientAddress: number;
  yourAddress: number;
  options: Map<number, Uint8Array>;
}

function answer(message: Dhcp4Message, network = NETWORK, client = CLIENT): Heard {
  const decision = answerDhcp4(message, network, client);
  assert.equal(decision.kind, 'answer', JSON.stringify(decision));
  const { bytes, name, to } = decision as Dhcp4Decision & { kind: 'answer' };
  const reply = readDhcp4(bytes);
  assert.ok(reply !== null && reply.operation === 2);
  assert.equal(reply.transaction, message.transaction);
  assert.deepEqual(reply.hardware, message.hardware);
  const { clientAddress, yourAddress, options } = reply;
  return { name, to, type: options.get(OPTION.messageType)?.[0], clientAddress, yourAddress, options };
}

function summary({ options: _, ...rest }: Heard): Omit<Heard, 'options'> {
  return rest;
}

function ignoredBecause(message: Dhcp4Message, client = CLIENT): string {
  const decision = answerDhcp4(message, NETWORK, client);
  return decision.kind === 'ignored' ? decision.why : `not ignored: ${decision.kind}`;
}

describe('DHCPv4 server', () => {
  it('offers the address of the endpoint, with everything that the network has to tell', () => {
    const offer = answer(ask(DISCOVER));
    assert.deepEqual(summary(offer), { name: 'offer', to: OWN, type: OFFER, clientAddress: 0, yourAddress: OWN });
    const text = (value: string) => new TextEncoder().encode(value);
    assert.deepEqual(
      offer.options,
      new Map([
        [OPTION.messageType, Uint8Array.of(OFFER)],
        [OPTION.serverId, bytesOf(GATEWAY)],
        [OPTION.leaseTime, bytesOf(3600)],
        [OPTION.renewalTime, bytesOf(1800)],
        [OPTION.rebindingTime, bytesOf(3150)],
        [OPTION.subnetMask, hexBytes('ffffff00')],
        [OPTION.router, bytesOf(GATEWAY)],
        [OPTION.nameServer, bytesOf(GATEWAY)],
        [OPTION.domainName, text('front.weft')],
        [OPTION.mtu, hexBytes('0578')],
        [OPTION.hostName, text('web')],
        [OPTION.broadcast, hexBytes('0a5000ff')],
        [OPTION.domainSearch, hexBytes('0566726f6e74047765667400')],
      ]),
    );
  });

  it('leaves out what the client does not ask for, and what the network does not have', () => {
    const list = Uint8Array.of(OPTION.router, OPTION.mtu);
    const codes = (message: Dhcp4Message, network: Dhcp4Network, client = CLIENT) =>
      [...answer(message, network, client).options.keys()].filter((code) => code < 50 || code > 60);
    const short = ask(DISCOVER, { options: { [OPTION.parameterList]: list } });
    assert.deepEqual(codes(short, NETWORK), [OPTION.subnetMask, OPTION.router, OPTION.mtu]);
    const bare = { ...NETWORK, nameServers: [], domain: null };
    const unrouted = { ...CLIENT, hasDefaultRoute: false };
    const { subnetMask, mtu, hostName, broadcast } = OPTION;
    assert.deepEqual(codes(ask(DISCOVER), bare, unrouted), [subnetMask, mtu, hostName, broadcast]);
  });

  it('gives classless routes instead of the router, the default route among them (RFC 3442)', () => {
    const routes = [
      { destination: 0x0a640000, prefix: 17, via: 0x0a500002 },
      { destination: 0xc0000201 | 0, prefix: 32, via: 0x0a500003 },
    ];
    const network = { ...NETWORK, routes };
    const { options } = answer(ask(DISCOVER), network);
    const own = '11 0a6400 0a500002 20 c0000201 0a500003';
    assert.deepEqual(options.get(OPTION.classlessRoutes), hexBytes(`${own} 00 0a500001`));
    assert.equal(options.has(OPTION.router), false);
    const unrouted = answer(ask(DISCOVER), network, { ...CLIENT, hasDefaultRoute: false });
    assert.deepEqual(unrouted.options.get(OPTION.classlessRoutes), hexBytes(own));
    const old = ask(DISCOVER, { options: { [OPTION.parameterList]: Uint8Array.of(OPTION.router) } });
    assert.deepEqual(
      answer(old, network).options.get(OPTION.router),
      bytesOf(GATEWAY),
      'a client that knows no routes',
    );
  });

  it('offers another address of the endpoint to who asks for it, and the first to who asks for a foreign one', () => {
    const asked = (address: number) => answer(ask(DISCOVER, { options: { [OPTION.requestedAddress]: address } }));
    const second = asked(SECOND);
    assert.equal(second.yourAddress, SECOND);
    assert.deepEqual(second.options.get(OPTION.subnetMask), hexBytes('ffff0000'));
    assert.deepEqual(second.options.get(OPTION.serverId), bytesOf(SECOND_GATEWAY));
    assert.equal(asked(FOREIGN).yourAddress, OWN);
  });

  it('broadcasts where the client asks for that', () => {
    assert.equal(answer(ask(DISCOVER, { wantsBroadcast: true })).to, BROADCAST);
  });

  it('gives the lease at once to who knows rapid commit (RFC 4039)', () => {
    const ack = answer(ask(DISCOVER, { options: { [OPTION.rapidCommit]: new Uint8Array(0) } }));
    assert.deepEqual(summary(ack), { name: 'ack', to: OWN, type: ACK, clientAddress: 0, yourAddress: OWN });
    assert.deepEqual(ack.options.get(OPTION.rapidCommit), new Uint8Array(0));
  });

  it('acknowledges in every state that a client asks in (RFC 2131 section 4.3.2)', () => {
    const selecting = { options: { [OPTION.serverId]: GATEWAY, [OPTION.requestedAddress]: OWN } };
    const rebooting = { options: { [OPTION.requestedAddress]: OWN } };
    const renewing = { clientAddress: OWN };
    for (const [state, fields] of Object.entries({ selecting, rebooting, renewing })) {
      const ack = answer(ask(REQUEST_ADDRESS, fields));
      const clientAddress = state === 'renewing' ? OWN : 0;
      assert.deepEqual(summary(ack), { name: 'ack', to: OWN, type: ACK, clientAddress, yourAddress: OWN }, state);
      assert.deepEqual(ack.options.get(OPTION.leaseTime), bytesOf(3600), state);
    }
    const renewal = ask(REQUEST_ADDRESS, { clientAddress: OWN, wantsBroadcast: true });
    assert.equal(answer(renewal).to, OWN, 'who has its address takes unicast there');
  });

  it('refuses an address that is not the endpoint’s, by broadcast, in every state', () => {
    const selecting = { options: { [OPTION.serverId]: GATEWAY, [OPTION.requestedAddress]: FOREIGN } };
    const rebooting = { options: { [OPTION.requestedAddress]: FOREIGN } };
    const renewing = { clientAddress: FOREIGN };
    for (const [state, fields] of Object.entries({ selecting, rebooting, renewing })) {
      const nak = answer(ask(REQUEST_ADDRESS, fields));
      const expected = { name: 'nak', to: BROADCAST, type: NAK, clientAddress: 0, yourAddress: 0 };
      assert.deepEqual(summary(nak), expected, state);
      assert.equal(nak.options.has(OPTION.leaseTime), false);
      assert.deepEqual(nak.options.get(OPTION.serverId), bytesOf(GATEWAY));
    }
  });

  it('tells parameters, and no lease, to who has its address already', () => {
    const ack = answer(ask(INFORM, { clientAddress: OWN }));
    assert.deepEqual(summary(ack), { name: 'ack', to: OWN, type: ACK, clientAddress: OWN, yourAddress: 0 });
    assert.deepEqual(ack.options.get(OPTION.nameServer), bytesOf(GATEWAY));
    for (const code of [OPTION.leaseTime, OPTION.renewalTime, OPTION.rebindingTime]) assert.ok(!ack.options.has(code));
    assert.equal(ignoredBecause(ask(INFORM, { clientAddress: FOREIGN })), 'no-address');
  });

  it('gives a client its own name back in every answer (RFC 6842)', () => {
    const id = hexBytes('ff0011223344');
    const options = { [OPTION.clientId]: id, [OPTION.requestedAddress]: FOREIGN };
    for (const message of [ask(DISCOVER, { options }), ask(REQUEST_ADDRESS, { options })]) {
      assert.deepEqual(answer(message).options.get(OPTION.clientId), id);
    }
    assert.deepEqual(answer(ask(INFORM, { clientAddress: OWN, options })).options.get(OPTION.clientId), id);
  });

  it('hears what clients tell', () => {
    const declined = ask(DECLINE, { options: { [OPTION.serverId]: GATEWAY, [OPTION.requestedAddress]: OWN } });
    assert.deepEqual(answerDhcp4(declined, NETWORK, CLIENT), { kind: 'heard', name: 'decline', address: OWN });
    const released = ask(RELEASE, { clientAddress: OWN, options: { [OPTION.serverId]: GATEWAY } });
    assert.deepEqual(answerDhcp4(released, NETWORK, CLIENT), { kind: 'heard', name: 'release', address: OWN });
    assert.equal(ignoredBecause(ask(DECLINE, { options: { [OPTION.requestedAddress]: FOREIGN } })), 'no-address');
    assert.equal(ignoredBecause(ask(RELEASE, { clientAddress: FOREIGN })), 'no-address');
  });

  it('does not offer what the client has just declined', () => {
    const client = { ...CLIENT, declined: [OWN] };
    assert.equal(ignoredBecause(ask(DISCOVER), client), 'declined');
    const again = ask(REQUEST_ADDRESS, { options: { [OPTION.requestedAddress]: OWN } });
    assert.equal(ignoredBecause(again, client), 'declined');
  });

  it('has no more than one lease for a port, whatever MACs ask there', () => {
    const hardware = hexBytes('02000000000a');
    for (const type of [DISCOVER, REQUEST_ADDRESS, INFORM, RELEASE, DECLINE]) {
      assert.equal(ignoredBecause(ask(type, { hardware, clientAddress: OWN })), 'foreign-mac');
    }
  });

  it('leaves alone who has chosen another server, who comes over a relay, and whose endpoint has no address', () => {
    const other = { options: { [OPTION.serverId]: 0x0a500002, [OPTION.requestedAddress]: OWN } };
    assert.equal(ignoredBecause(ask(REQUEST_ADDRESS, other)), 'other-server');
    assert.equal(ignoredBecause(ask(DISCOVER, { relayAddress: 0x0a500002 })), 'relayed');
    const bare = { ...CLIENT, addresses: [] };
    assert.equal(ignoredBecause(ask(DISCOVER), bare), 'no-address');
    assert.equal(ignoredBecause(ask(REQUEST_ADDRESS, { clientAddress: OWN }), bare), 'no-address');
    assert.equal(ignoredBecause(ask(REQUEST_ADDRESS)), 'malformed', 'a request that names no address');
  });

  it('knows no request but those of clients', () => {
    assert.deepEqual(
      [DISCOVER, OFFER, REQUEST_ADDRESS, DECLINE, ACK, NAK, RELEASE, INFORM, 9, 0].map((type) =>
        requestName(ask(type)),
      ),
      ['discover', null, 'request', 'decline', null, null, 'release', 'inform', null, null],
    );
    assert.equal(requestName({ ...ask(DISCOVER), operation: 2 }), null, 'a reply');
    const bootp = ask(DISCOVER);
    bootp.options.clear();
    assert.equal(requestName(bootp), null, 'BOOTP');
  });

  it('keeps to what the client can take in one datagram, at least 576 bytes (RFC 2132 section 9.10)', () => {
    const routes = Array.from({ length: 64 }, (_, i) => ({ destination: (i << 8) | 0, prefix: 32, via: GATEWAY }));
    const bytes = (most: string | null, mtu = 1500) => {
      const options = most === null ? {} : { [OPTION.maxMessageBytes]: hexBytes(most) };
      const decision = answerDhcp4(ask(DISCOVER, { options }), { ...NETWORK, mtu, routes }, CLIENT);
      return (decision as Dhcp4Decision & { kind: 'answer' }).bytes.length + 28;
    };
    assert.ok(bytes(null) <= 576);
    assert.ok(bytes('0010') <= 576);
    assert.ok(bytes('05dc') > 576 + 300, 'all 64 routes');
    assert.ok(bytes('05dc', 600) <= 600, 'never more than the network carries');
    assert.ok(bytes('ffff') <= 1500);
  });

  it('answers for the endpoint’s addresses only, whatever the message', () => {
    const address = fc.constantFrom(0, OWN, SECOND, FOREIGN, GATEWAY, -1);
    const code = fc.constantFrom(...Object.values(OPTION).filter((value) => value > 0 && value < 255));
    const options = fc.dictionary(code.map(String), fc.oneof(fc.uint8Array({ maxLength: 40 }), address.map(bytesOf)));
    const type = fc.integer({ min: 1, max: 8 });
    fc.assert(
      fc.property(type, address, fc.boolean(), options, (kind, clientAddress, wantsBroadcast, given) => {
        const message = ask(kind, { clientAddress, wantsBroadcast, options: given as Record<number, Uint8Array> });
        if (requestName(message) === null) return;
        const decision = answerDhcp4(message, NETWORK, CLIENT);
        if (decision.kind !== 'answer') return;
        assert.ok([OWN, SECOND].includes(decision.address));
        const reply = readDhcp4(decision.bytes)!;
        assert.ok([0, OWN, SECOND].includes(reply.yourAddress));
        assert.ok([BROADCAST, OWN, SECOND].includes(decision.to));
        assert.ok(decision.bytes.length <= 1372);
      }),
      { numRuns: 2000 },
    );
  });
});
