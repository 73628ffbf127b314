// The names that a network's DNS server knows itself, and those that it never asks others about.
import assert from 'node:assert/strict';
import type { RecordType } from 'dns-packet';
import { answerLocally, type LocalNames, parseReverse } from '../../src/control/dns/local-answers.js';
import { writeResponse } from '../../src/control/dns/message-writer.js';
import { Zone } from '../../src/control/dns/zone.js';
import { formatIp, parseSubnet, type Subnet } from '../../src/model/ip.js';
import { ask, queryOf, see } from '../support/dns-messages.js';

const front = new Zone({
  domain: 'front.weft',
  gateway: ['10.1.0.1', 'fd01::1'],
  hosts: [
    {
      name: 'Web',
      addresses: ['10.1.0.2', 'fd01::2'],
      compartment: 'shop',
      aliases: ['www', 'cdn'],
      published: [
        { protocol: 'tcp', first: 8080, last: 8080, inside: 80 },
        { protocol: 'udp', first: 5000, last: 5010, inside: 6000 },
      ],
    },
    { name: 'db', addresses: ['10.1.0.3'], compartment: 'shop', aliases: ['cdn'], published: [] },
    { name: 'a.b', addresses: ['10.1.0.4'], compartment: 'web', aliases: [], published: [] },
  ],
});
const back = new Zone({
  domain: 'back.weft',
  gateway: ['10.2.0.1'],
  hosts: [{ name: 'store', addresses: ['10.2.0.9'], compartment: 'store', aliases: [], published: [] }],
});
const names: LocalNames = { zones: [front, back], subnets: ['10.1.0.0/16', 'fd01::/64', '10.2.0.0/24'].map(subnet) };

function subnet(text: string): Subnet {
  const read = parseSubnet(text);
  assert.ok(read.ok);
  return read.value;
}

/** `forward`, or the rcode and the answers. */
function asked(name: string, type: RecordType = 'A'): string | string[] {
  const query = queryOf(ask(name, type));
  const reply = answerLocally(names, query);
  if (reply === null) return 'forward';
  const { rcode, answers, authorities, flags } = see(writeResponse(query, reply));
  assert.equal(flags.aa, true);
  if (answers.length > 0) assert.deepEqual(authorities, []);
  else assert.match(authorities.join(), /^SOA /, 'a negative answer says how long it may be kept');
  return answers.length > 0 ? answers : rcode;
}

describe('dns/local-answers', () => {
  it('are those of the innermost domain when one network has a domain around that of another', () => {
    const around = new Zone({
      domain: 'weft',
      gateway: ['10.3.0.1'],
      hosts: [{ name: 'hub', addresses: ['10.3.0.2'], compartment: 'hub', aliases: [], published: [] }],
    });
    const nested: LocalNames = { zones: [around, back], subnets: [] };
    const askedThere = (name: string) => {
      const query = queryOf(ask(name));
      const { rcode, answers } = see(writeResponse(query, answerLocally(nested, query)!));
      return answers.length > 0 ? answers : rcode;
    };
    assert.deepEqual(askedThere('store.back.weft'), ['A 10.2.0.9']);
    assert.deepEqual(askedThere('hub.weft'), ['A 10.3.0.2']);
    assert.equal(askedThere('hub.back.weft'), 'NXDOMAIN');
    assert.equal(askedThere('store.weft'), 'NXDOMAIN');
  });

  it('know endpoints, compartments, aliases and the gateway, whatever the case', () => {
    assert.deepEqual(asked('web.front.weft'), ['A 10.1.0.2']);
    assert.deepEqual(asked('WEB.Front.WEFT', 'AAAA'), ['AAAA fd01::2']);
    assert.deepEqual(asked('shop.front.weft'), ['A 10.1.0.2', 'A 10.1.0.3'], 'all endpoints of the compartment');
    assert.deepEqual(asked('www.front.weft'), ['A 10.1.0.2']);
    assert.deepEqual(asked('cdn.front.weft'), ['A 10.1.0.2', 'A 10.1.0.3'], 'an alias of two');
    assert.deepEqual(asked('gateway.front.weft', 'AAAA'), ['AAAA fd01::1']);
    assert.deepEqual(asked('a.b.front.weft'), ['A 10.1.0.4']);
    assert.deepEqual(asked('store.back.weft'), ['A 10.2.0.9'], 'of a network that this one is connected to');
  });

  it('prefer an endpoint to a compartment of the same name', () => {
    assert.deepEqual(asked('web.front.weft'), ['A 10.1.0.2'], 'compartment web has 10.1.0.4');
  });

  it('tell a name that is not there from one without such a record', () => {
    assert.equal(asked('nobody.front.weft'), 'NXDOMAIN');
    assert.equal(asked('db.front.weft', 'AAAA'), 'NOERROR');
    assert.equal(asked('db.front.weft', 'MX'), 'NOERROR');
    assert.equal(asked('b.front.weft'), 'NOERROR', 'something is below it (RFC 8020)');
    assert.equal(asked('_tcp.web.front.weft'), 'NOERROR');
    assert.equal(asked('_udp.db.front.weft'), 'NXDOMAIN');
  });

  it('describe the zone', () => {
    assert.deepEqual(asked('front.weft', 'SOA'), ['SOA front.weft']);
    assert.deepEqual(asked('front.weft', 'NS'), ['NS gateway.front.weft']);
    assert.equal(asked('front.weft', 'A'), 'NOERROR');
  });

  it('find published ports by their number and by the name of the service', () => {
    assert.deepEqual(asked('_8080._tcp.web.front.weft', 'SRV'), ['SRV 80 Web.front.weft']);
    assert.deepEqual(asked('_http._tcp.web.front.weft', 'SRV'), ['SRV 80 Web.front.weft']);
    assert.deepEqual(asked('_http._tcp.front.weft', 'SRV'), ['SRV 80 Web.front.weft']);
    assert.deepEqual(asked('_5003._udp.web.front.weft', 'SRV'), ['SRV 6003 Web.front.weft']);
    for (const name of ['_80._tcp.web', '_8080._udp.web', '_http._tcp.db', '_ssh._tcp.web', '_5011._udp.web']) {
      assert.equal(asked(`${name}.front.weft`, 'SRV'), 'NXDOMAIN', name);
    }
    assert.equal(asked('_http._tcp.web.front.weft', 'A'), 'NOERROR');
  });

  it('name the owners of addresses, and nobody for the others of the subnets', () => {
    assert.deepEqual(asked('2.0.1.10.in-addr.arpa', 'PTR'), ['PTR Web.front.weft']);
    assert.deepEqual(asked('1.0.1.10.in-addr.arpa', 'PTR'), ['PTR gateway.front.weft']);
    assert.deepEqual(asked('9.0.2.10.in-addr.arpa', 'PTR'), ['PTR store.back.weft']);
    assert.equal(asked('200.0.1.10.in-addr.arpa', 'PTR'), 'NXDOMAIN');
    const zeros = '0.'.repeat(27);
    assert.deepEqual(asked(`2.${zeros}1.0.d.f.ip6.arpa`, 'PTR'), ['PTR Web.front.weft']);
    assert.equal(asked('2.0.3.10.in-addr.arpa', 'PTR'), 'forward', 'of no subnet here');
    assert.equal(asked('300.0.1.10.in-addr.arpa', 'PTR'), 'forward', 'no address');
  });

  it('read every address out of its reverse name', () => {
    for (const text of ['10.1.2.3', '255.255.255.255', '2001:db8::5', 'fd01::ffff:1']) {
      const labels = text.includes(':')
        ? [...expanded(text)].reverse().concat('ip6', 'arpa')
        : text.split('.').reverse().concat('in-addr', 'arpa');
      const ip = parseReverse(labels);
      assert.equal(ip && formatIp(ip.family, ip.value), text);
    }
  });

  it('take a name of one label for a name of the network, and ask nobody else for its address', () => {
    assert.deepEqual(asked('web'), ['A 10.1.0.2']);
    assert.deepEqual(asked('store'), ['A 10.2.0.9']);
    assert.equal(asked('db', 'AAAA'), 'NOERROR');
    assert.equal(asked('nobody'), 'NXDOMAIN');
    assert.equal(asked('weft'), 'NOERROR', 'its own domain is below it');
    assert.equal(asked('com', 'NS'), 'forward');
  });

  it('keep names to themselves that nobody outside can know', () => {
    assert.deepEqual(asked('localhost'), ['A 127.0.0.1']);
    assert.deepEqual(asked('x.localhost', 'AAAA'), ['AAAA ::1']);
    for (const name of ['printer.local', 'x.invalid', 'abc.onion', '_dns.resolver.arpa']) {
      assert.equal(asked(name), 'NXDOMAIN', name);
    }
    for (const name of ['example.com', 'notfront.weft.example', 'xfront.weft'])
      assert.equal(asked(name), 'forward', name);
  });

  it('answer strange names of the zone without taking them for others', () => {
    // One label "web.front" instead of two.
    const bytes = Buffer.from(ask('webxfront.front.weft', 'A', { udpBytes: null }));
    bytes[16] = 0x2e;
    const query = queryOf(bytes);
    const response = writeResponse(query, answerLocally(names, query)!);
    assert.equal(see(response).rcode, 'NXDOMAIN');
    assert.deepEqual(response.subarray(12, 12 + query.question.length), query.question);
  });
});

function expanded(text: string): string {
  const [head = '', tail = ''] = text.split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':').map((group) => group.padStart(4, '0')));
  const [before, after] = [groups(head), groups(tail)];
  return [...before, ...Array(8 - before.length - after.length).fill('0000'), ...after].join('');
}
