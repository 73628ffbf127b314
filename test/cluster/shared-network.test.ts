/** What hosts have in common of a shared network, and what each keeps for itself. */
import assert from 'node:assert/strict';
import { sharedTextOf, specFromShared, whyContradicting } from '../../src/control/cluster/shared-network.js';
import type { NetworkSpec } from '../../src/model/network.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';
import { withOverlayDefaults } from '../../src/model/overlay-defaults.js';

function specOf(request: object): NetworkSpec {
  const parsed = parseNetworkRequest({ type: 'overlay', subnets: ['10.90.0.0/24'], ...request });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
}

function taken(text: string, defaults: object, current: NetworkSpec | null = null): NetworkSpec {
  const parsed = specFromShared('ov', text, defaults, current);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
}

describe('a shared network', () => {
  const here = specOf({
    name: 'ov',
    mtu: 1400,
    uplink: 'host',
    overlay: { vni: 5000, port: 4790, vtep: '192.0.2.1', peers: ['192.0.2.9'], shared: true, dscp: 10, checksum: true },
  });

  it('is the same on another host, with that one its own VTEP', () => {
    const there = taken(sharedTextOf(here), { vtep: '192.0.2.2', underlay: 'tap', port: 5555 });
    assert.equal(sharedTextOf(there), sharedTextOf(here));
    const { vtep, underlay, peers, port, shared, vni, dscp } = there.overlay!;
    assert.deepEqual(
      { vtep, underlay, peers, port, shared, vni, dscp },
      { vtep: '192.0.2.2', underlay: 'tap', peers: [], port: 4790, shared: true, vni: 5000, dscp: 10 },
    );
    assert.deepEqual([there.mtu, there.uplink], [1400, 'host']);
  });

  it('keeps what a host has of its own when it changes', () => {
    const current = taken(sharedTextOf(here), { vtep: '192.0.2.2' });
    const own = { ...current, overlay: { ...current.overlay!, peers: ['192.0.2.8'] } };
    const changed = taken(sharedTextOf({ ...here, ageingSeconds: 30 }), { vtep: '192.0.2.77' }, own);
    assert.deepEqual(
      [changed.ageingSeconds, changed.overlay!.vtep, changed.overlay!.peers],
      [30, '192.0.2.2', ['192.0.2.8']],
    );
  });

  it('without uplink and subnets comes through too', () => {
    const plain = specOf({ name: 'ov', subnets: [], overlay: { vni: 0, shared: true } });
    assert.equal(sharedTextOf(taken(sharedTextOf(plain), {})), sharedTextOf(plain));
  });

  it('is refused where its text makes no sense', () => {
    for (const text of ['', '{}', '[]', '{"overlay":{}}', '{"overlay":{"vni":-1},"type":"overlay"}']) {
      assert.equal(specFromShared('ov', text, {}, null).ok, false, text);
    }
  });

  it('contradicts another one with its VNI on its UDP port', () => {
    const other = (vni: number, port: number) => specOf({ name: 'other', subnets: [], overlay: { vni, port } });
    assert.match(whyContradicting(here, other(5000, 4790)) ?? '', /VNI 5000 belongs to network other/);
    assert.equal(whyContradicting(here, other(5000, 4789)), null);
    assert.equal(whyContradicting(here, other(5001, 4790)), null);
  });
});

describe('what overlay networks of a host have in common', () => {
  it('fills in what a request leaves out, wherever it is written', () => {
    const defaults = { vtep: '192.0.2.1', shared: true };
    const filled = (request: object) => (withOverlayDefaults(request, defaults) as { overlay?: object }).overlay;
    assert.deepEqual(filled({ type: 'overlay', vni: 5 }), { vtep: '192.0.2.1', shared: true, vni: 5 });
    assert.deepEqual(filled({ type: 'overlay', overlay: { vni: 5, vtep: '192.0.2.7', shared: false } }), {
      vtep: '192.0.2.7',
      shared: false,
      vni: 5,
    });
    assert.deepEqual(filled({ type: 'overlay', vni: 5, vtep: null }), { vtep: '192.0.2.1', shared: true, vni: 5 });
    assert.equal(filled({ type: 'nat' }), undefined);
    assert.equal(withOverlayDefaults(null, defaults), null);
  });
});
