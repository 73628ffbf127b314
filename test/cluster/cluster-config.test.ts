/** `cluster` and `overlay` in weft.yaml: what they may say, and what is said of the rest. */
import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { clusterFrom, overlayFrom } from '../../daemon/cluster-config.js';

const URL_1 = 'http://192.0.2.1:2379';

describe('the configuration of a cluster', () => {
  it('needs nothing but the members of etcd', () => {
    assert.deepEqual(clusterFrom({ etcd: [URL_1] }), {
      etcd: [URL_1],
      ...{ ca: null, cert: null, key: null, user: null, password: null },
      ...{ host: hostname(), prefix: '/weft', leaseSeconds: 10 },
    });
  });

  it('takes one URL or many, with the port of etcd unless another one is named', () => {
    const urls = (etcd: unknown) => clusterFrom({ etcd }).etcd;
    assert.deepEqual(urls('http://etcd.example'), ['http://etcd.example:2379']);
    assert.deepEqual(urls(['https://[2001:db8::1]:2379/', 'https://b:443']), [
      'https://[2001:db8::1]:2379',
      'https://b:443',
    ]);
    assert.deepEqual(urls(['http://a:80']), ['http://a:80']);
  });

  it('takes certificates, a user, a name, a prefix and a lease', () => {
    const files = { ca: '/etc/weft/ca.pem', cert: '/etc/weft/cert.pem', key: '/etc/weft/key.pem' };
    const more = { user: 'weft', password: 'secret', host: 'node-1', prefix: '/lab/weft/', leaseSeconds: 30 };
    assert.deepEqual(clusterFrom({ etcd: ['https://a:2379'], ...files, ...more }), {
      ...{ etcd: ['https://a:2379'], ...files, ...more },
      prefix: '/lab/weft',
    });
  });

  it('is refused with the reason', () => {
    const refused: [unknown, RegExp][] = [
      ['http://a', /must be a mapping/],
      [{}, /etcd must be a list of URLs/],
      [{ etcd: [] }, /etcd must be a list of URLs/],
      [{ etcd: ['192.0.2.1:2379'] }, /is no URL of etcd/],
      [{ etcd: ['http://a/path'] }, /is no URL of etcd/],
      [{ etcd: ['http://a', 'https://b'] }, /either all URLs are https/],
      [{ etcd: [URL_1], host: 'a/b' }, /cannot be the name of this host/],
      [{ etcd: [URL_1], hosts: 'x' }, /unknown key "hosts"; known: etcd, ca,/],
      [{ etcd: [URL_1], leaseSeconds: 1 }, /leaseSeconds must be a whole number of 2 to 3600/],
      [{ etcd: [URL_1], prefix: 'weft' }, /prefix: "weft" cannot begin keys/],
      [{ etcd: [URL_1], ca: '/ca.pem' }, /are for https/],
      [{ etcd: ['https://a'], ca: 'ca.pem' }, /is no absolute path/],
      [{ etcd: ['https://a'], ca: '/a', cert: '/c' }, /cert and key go together/],
      [{ etcd: ['https://a'], cert: '/c', key: '/k' }, /ca is missing/],
      [{ etcd: [URL_1], user: 'u' }, /user and password go together/],
    ];
    for (const [value, reason] of refused) assert.throws(() => clusterFrom(value), reason, JSON.stringify(value));
  });
});

describe('the configuration of overlay networks', () => {
  it('says where the VTEP of this host is', () => {
    assert.deepEqual(overlayFrom({}), {});
    const all = { underlay: 'tap', vtep: '192.0.2.7', port: 8472, underlayNetns: '/run/netns/fabric', checksum: true };
    assert.deepEqual(overlayFrom(all), all);
    assert.deepEqual(overlayFrom({ vtep: '2001:DB8::7', port: 4789 }), { vtep: '2001:db8::7' });
  });

  it('is refused with the reason', () => {
    const refused: [unknown, RegExp][] = [
      [[], /must be a mapping/],
      [{ underlay: 'quic' }, /underlay must be one of socket, tap/],
      [{ underlay: 'tap' }, /vtep is missing/],
      [{ vtep: '224.0.0.1' }, /it is a multicast group/],
      [{ port: 0 }, /port must be a whole number of 1 to 65535/],
      [{ underlayNetns: 'fabric' }, /is no absolute path/],
      [{ checksum: 'yes' }, /checksum must be true or false/],
    ];
    for (const [value, reason] of refused) assert.throws(() => overlayFrom(value), reason, JSON.stringify(value));
  });
});
