// The DHCPv6 server's answers, message by message of RFC 8415 sections 16 and 18.3.
import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import {
  answerDhcp6,
  type Dhcp6Client,
  type Dhcp6Decision,
  type Dhcp6Network,
  request6Name,
} from '../../src/control/dhcp/dhcp6-server.js';
import {
  ADVERTISE,
  CONFIRM,
  DECLINE,
  type Dhcp6Message,
  INFORMATION_REQUEST,
  OPTION6,
  option6,
  REBIND,
  RELEASE,
  RENEW,
  REPLY,
  REQUEST,
  readDhcp6,
  SOLICIT,
} from '../../src/wire/dhcp6.js';
import { hexBytes } from '../support/hex.js';

const SERVER = '0003000102000000 00fe';
const CLIENT_ID = '00030001020000000009';
const NAME_SERVER = 'fd000080000000000000000000000001';
const OWN = 'fd000080000000000000000000000009';
const FOREIGN = 'fd000080000000000000000000000063';
const ELSEWHERE = 'fd000081000000000000000000000009';
const SEARCH = '0566726f6e74047765667400';
const MESSAGE_TYPES = [SOLICIT, REQUEST, CONFIRM, RENEW, REBIND, RELEASE, DECLINE, INFORMATION_REQUEST];

const NETWORK: Dhcp6Network = {
  mac: hexBytes('0200000000fe'),
  nameServers: [hexBytes(NAME_SERVER)],
  domain: 'front.weft',
  leaseSeconds: 3600,
  isOnLink: (address) => address[3] === 0x80,
};

const CLIENT: Dhcp6Client = { isOwnMac: true, addresses: [hexBytes(OWN)], hasDeclined: false };

type Option = Dhcp6Message['options'][number];

function option(code: number, value: string): Option {
  return { code, value: hexBytes(value) };
}

const clientId = option(OPTION6.clientId, CLIENT_ID);
const serverId = option(OPTION6.serverId, SERVER);
const resolver = [option(OPTION6.nameServers, NAME_SERVER), option(OPTION6.domainSearch, SEARCH)];
const statusOf = (code: string) => option(OPTION6.statusCode, `00${code}`);

/** IA_NA 1 as a client sends it: with addresses that it has or wants. */
function asking(...addresses: string[]): Option {
  const times = '00000000 00000000';
  return option(
    OPTION6.addresses,
    `00000001 ${times} ${addresses.map((text) => `0005 0018 ${text}${times}`).join('')}`,
  );
}

/** IA_NA 1 as the server sends it: its own addresses for an hour, foreign ones no longer. */
function given(...addresses: string[]): Option {
  const times = addresses.includes(OWN) ? '00000708 00000b40' : '00000000 00000000';
  const options = addresses.map((text) => `0005 0018 ${text} ${(text === OWN ? '00000e10' : '00000000').repeat(2)}`);
  return option(OPTION6.addresses, `00000001 ${times} ${options.join('')}`);
}

const nothingGiven = option(OPTION6.addresses, '00000001 00000000 00000000 000d 0002 0002');

function ask(type: number, ...options: Option[]): Dhcp6Message {
  return { type, transaction: 0xabcdef, options };
}

function answer(message: Dhcp6Message, client = CLIENT, network = NETWORK): Dhcp6Message {
  const decision = answerDhcp6(message, network, client);
  assert.equal(decision.kind, 'answer', JSON.stringify(decision));
  return readDhcp6((decision as Dhcp6Decision & { kind: 'answer' }).bytes)!;
}

function saying(type: number, ...options: Option[]): Dhcp6Message {
  return { type, transaction: 0xabcdef, options: [clientId, serverId, ...options] };
}

function why(message: Dhcp6Message, client = CLIENT): string {
  const decision = answerDhcp6(message, NETWORK, client);
  return decision.kind === 'ignored' ? decision.why : 'answered';
}

/** Addresses in hexadecimal. */
function leasedBy(message: Dhcp6Message, client = CLIENT): string[] {
  const decision = answerDhcp6(message, NETWORK, client);
  return decision.kind === 'answer' ? decision.leased.map((address) => Buffer.from(address).toString('hex')) : [];
}

describe('DHCPv6 server', () => {
  it('tells who has addresses resolver, search list and when to ask again', () => {
    const reply = answer(ask(INFORMATION_REQUEST, clientId));
    assert.deepEqual(reply, saying(REPLY, ...resolver, option(OPTION6.refreshTime, '00000e10')));
    assert.deepEqual(answer(ask(INFORMATION_REQUEST)).options[0], serverId, 'clients need not name themselves');
    assert.deepEqual(leasedBy(ask(INFORMATION_REQUEST, clientId)), []);
  });

  it('leaves out what the client does not ask for, and what the network does not have', () => {
    const asked = ask(INFORMATION_REQUEST, clientId, option(OPTION6.optionRequest, '0017'));
    assert.deepEqual(answer(asked), saying(REPLY, resolver[0]!));
    const bare = { ...NETWORK, nameServers: [], domain: null, leaseSeconds: 10 };
    const reply = answer(ask(INFORMATION_REQUEST, clientId), CLIENT, bare);
    assert.deepEqual(reply, saying(REPLY, option(OPTION6.refreshTime, '00000258')), '600 s at least');
  });

  it('offers the addresses of the endpoint, and gives them to who asks, whatever it would like to have', () => {
    for (const wanted of [asking(), asking(OWN), asking(FOREIGN)]) {
      const solicit = ask(SOLICIT, clientId, wanted);
      assert.deepEqual(answer(solicit), saying(ADVERTISE, given(OWN), ...resolver));
      assert.deepEqual(leasedBy(solicit), [], 'an offer is no lease');
      const request = ask(REQUEST, clientId, serverId, wanted);
      assert.deepEqual(answer(request), saying(REPLY, given(OWN), ...resolver));
      assert.deepEqual(leasedBy(request), [OWN]);
    }
  });

  it('gives the lease at once to who knows rapid commit', () => {
    const rapid = option(OPTION6.rapidCommit, '');
    const solicit = ask(SOLICIT, clientId, asking(), rapid);
    assert.deepEqual(answer(solicit), saying(REPLY, given(OWN), ...resolver, rapid));
    assert.deepEqual(leasedBy(solicit), [OWN]);
  });

  it('renews and rebinds its own addresses, and takes foreign ones away', () => {
    const renew = ask(RENEW, clientId, serverId, asking(FOREIGN, OWN));
    const rebind = ask(REBIND, clientId, asking(FOREIGN, OWN));
    for (const message of [renew, rebind]) {
      assert.deepEqual(answer(message), saying(REPLY, given(OWN, FOREIGN), ...resolver));
      assert.deepEqual(leasedBy(message), [OWN]);
    }
  });

  it('has nothing for an endpoint without addresses, further associations, temporary addresses and prefixes', () => {
    const bare = { ...CLIENT, addresses: [] };
    const solicit = ask(SOLICIT, clientId, asking());
    assert.deepEqual(answer(solicit, bare), saying(ADVERTISE, nothingGiven, ...resolver));
    const second = option(OPTION6.addresses, '00000002 00000000 00000000');
    const temporary = option(OPTION6.temporaryAddresses, '00000003');
    const prefixes = option(OPTION6.prefixes, '00000004 00000000 00000000');
    const refused = [
      option(OPTION6.addresses, '00000002 00000000 00000000 000d 0002 0002'),
      option(OPTION6.temporaryAddresses, '00000003 000d 0002 0002'),
      option(OPTION6.prefixes, '00000004 00000000 00000000 000d 0002 0006'),
    ];
    const greedy = ask(SOLICIT, clientId, asking(), second, temporary, prefixes);
    assert.deepEqual(answer(greedy), saying(ADVERTISE, given(OWN), ...refused, ...resolver));
  });

  it('confirms addresses of the network, and no others', () => {
    assert.deepEqual(answer(ask(CONFIRM, clientId, asking(OWN, FOREIGN))), saying(REPLY, statusOf('00')));
    assert.deepEqual(answer(ask(CONFIRM, clientId, asking(OWN, ELSEWHERE))), saying(REPLY, statusOf('04')));
    assert.equal(why(ask(CONFIRM, clientId)), 'malformed', 'no address, no answer');
  });

  it('hears what clients give back, and offers nothing for a while to who says that it is in use', () => {
    assert.deepEqual(answer(ask(RELEASE, clientId, serverId, asking(OWN))), saying(REPLY, statusOf('00')));
    const decline = ask(DECLINE, clientId, serverId, asking(FOREIGN, OWN));
    assert.deepEqual(answer(decline), saying(REPLY, statusOf('00')));
    const decision = answerDhcp6(decline, NETWORK, CLIENT);
    assert.deepEqual(decision.kind === 'answer' && decision.declined, [hexBytes(OWN)], 'only its own counts');
    const client = { ...CLIENT, hasDeclined: true };
    assert.deepEqual(answer(ask(SOLICIT, clientId, asking()), client), saying(ADVERTISE, nothingGiven, ...resolver));
  });

  it('gives addresses to the endpoint itself alone, and parameters to anybody behind it', () => {
    const other = { ...CLIENT, isOwnMac: false };
    assert.equal(why(ask(SOLICIT, clientId, asking()), other), 'foreign-mac');
    assert.equal(why(ask(REQUEST, clientId, serverId, asking()), other), 'foreign-mac');
    assert.equal(why(ask(INFORMATION_REQUEST, clientId), other), 'answered');
  });

  it('discards what RFC 8415 section 16 tells servers to discard', () => {
    const other = option(OPTION6.serverId, CLIENT_ID);
    const isForAnybody = [SOLICIT, CONFIRM, REBIND];
    for (const type of MESSAGE_TYPES) {
      assert.equal(why(ask(type, clientId, other, asking(OWN))), 'other-server');
      if (type === INFORMATION_REQUEST) continue;
      const [named, unnamed] = isForAnybody.includes(type) ? ['malformed', 'answered'] : ['answered', 'malformed'];
      assert.equal(why(ask(type, clientId, serverId, asking(OWN))), named, `${type} for this server`);
      assert.equal(why(ask(type, clientId, asking(OWN))), unnamed, `${type} for anybody`);
      assert.equal(why(ask(type, serverId, asking(OWN))), 'malformed', `${type} of nobody`);
    }
    assert.equal(why(ask(INFORMATION_REQUEST, clientId, asking())), 'malformed');
    assert.equal(why(ask(INFORMATION_REQUEST, option(OPTION6.clientId, '00'))), 'malformed');
    assert.equal(why(ask(SOLICIT, clientId, option(OPTION6.addresses, '00000001'))), 'malformed', 'a cut association');
    assert.deepEqual(
      [0, ADVERTISE, REPLY, 10, 12, 13].map((type) => request6Name(ask(type))),
      new Array(6).fill(null),
      'nothing that clients do not send',
    );
  });

  it('never throws, leases foreign addresses or answers more than a frame holds, whatever the options', () => {
    const code = fc.oneof(fc.constantFrom(...Object.values(OPTION6)), fc.nat(60));
    const value = fc.oneof(
      fc.uint8Array({ maxLength: 140 }),
      fc
        .constantFrom(SERVER, CLIENT_ID, ...[asking(OWN), asking(FOREIGN, ELSEWHERE)].map((each) => toHex(each.value)))
        .map(hexBytes),
    );
    const options = fc.array(fc.record({ code, value }), { maxLength: 12 });
    fc.assert(
      fc.property(fc.constantFrom(...MESSAGE_TYPES), options, (type, list) => {
        const decision = answerDhcp6(ask(type, ...(list as Option[])), NETWORK, CLIENT);
        if (decision.kind === 'ignored') return;
        assert.ok(decision.bytes.length < 1400);
        assert.ok(option6(readDhcp6(decision.bytes)!, OPTION6.serverId) !== null);
        for (const address of [...decision.leased, ...decision.declined]) assert.deepEqual(address, hexBytes(OWN));
      }),
      { numRuns: 3000 },
    );
  });
});

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
