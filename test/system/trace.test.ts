// What a trace tells is what happens: traced frames against real ones that went before.
import assert from 'node:assert/strict';
import type { TraceView } from '../../src/control/controller.js';
import { useLab } from '../support/system-lab.js';
import { createNat, type Nat } from '../support/system-nat.js';
import { waitFor } from '../support/system-process.js';

const LOCAL = 40_000;
const REMOTE = 9000;

describe('weft trace', function traces() {
  this.timeout(120_000);
  const lab = useLab();
  let nat: Nat;
  /** External port of the flow that the set-up opened, as the outside saw it. */
  let port: number;

  before(async () => {
    nat = await createNat(lab, { plain: true });
    const { world, inside } = nat;
    const program = `
      const socket = require('node:dgram').createSocket('udp4');
      socket.on('message', (bytes, from) => socket.send(from.address + ' ' + from.port, from.port, from.address));
      socket.bind(${REMOTE}, () => console.log('listening'));`;
    const server = lab.background(world.outside, [process.execPath, '-e', program]);
    await waitFor('a UDP server', () => server.stdout.includes('listening'));
    const talk = ['socat', '-t', '2', '-', `udp4:${world.far.v4}:${REMOTE},sourceport=${LOCAL}`];
    const [address, seen] = (await lab.inside(inside.base, talk, { input: 'hello' })).split(' ');
    assert.equal(address, nat.external.v4);
    port = Number(seen);
  });

  function trace(request: object): Promise<TraceView> {
    return lab.daemon.call('POST', '/v1/trace', request) as Promise<unknown> as Promise<TraceView>;
  }

  const says = (view: TraceView, stage: string) =>
    view.steps.find((step) => step.stage === stage)?.says.join('\n') ?? '';

  it('finds the flow that a real datagram opened, and sends the next one the same way', async () => {
    const { inside, world, external } = nat;
    const flows = { from: inside.endpoint, to: world.far.v4, protocol: 'udp', port: REMOTE, sourcePort: LOCAL };
    const view = await trace(flows);
    assert.equal(view.fate, 'forwarded');
    assert.equal(
      says(view, 'nat-outbound'),
      `${inside.v4}:${LOCAL} leaves as ${external.v4}:${port}: a flow that is in the table`,
    );
    assert.deepEqual(
      view.departures.map(({ to, frame }) => ({ to, frame })),
      [
        {
          to: `the uplink of ${nat.network}`,
          frame: `IP ${external.v4}.${port} > ${world.far.v4}.${REMOTE}: UDP, length 0`,
        },
      ],
    );
  });

  it('opens nothing: the flow table is the same after the trace of a new flow', async () => {
    const before = await lab.daemon.json('flow', 'list', '--network', nat.network);
    const view = await trace({ from: nat.inside.endpoint, to: nat.world.far.v4, protocol: 'tcp', port: 443 });
    assert.match(says(view, 'nat-outbound'), /: a new mapping and a new flow$/);
    const ids = (flows: unknown) => (flows as { id: string }[]).map(({ id }) => id);
    assert.deepEqual(ids(await lab.daemon.json('flow', 'list', '--network', nat.network)), ids(before));
  });

  it('follows an answer from the uplink to the compartment, and tells who is filtered', async () => {
    const { world, external, inside } = nat;
    const answer = { fromUplink: nat.network, to: external.v4, protocol: 'udp', port, sourcePort: REMOTE };
    const admitted = await trace({ ...answer, source: world.far.v4 });
    assert.deepEqual(
      admitted.departures.map(({ to, frame }) => ({ to, frame })),
      [
        {
          to: `endpoint ${inside.endpoint}`,
          frame: `IP ${world.far.v4}.${REMOTE} > ${inside.v4}.${LOCAL}: UDP, length 0`,
        },
      ],
    );
    const stranger = await trace({ ...answer, source: world.further.v4 });
    assert.deepEqual([stranger.fate, stranger.drop?.reason], ['dropped', 'nat-filtered']);
  });

  it('says why a SYN that nobody asked for waits, and how long', async () => {
    const { world, external } = nat;
    const asked = { fromUplink: nat.network, to: external.v4, protocol: 'tcp', port: 4444, source: world.far.v4 };
    const view = await trace(asked);
    assert.equal(view.fate, 'consumed');
    assert.match(says(view, 'nat-inbound'), /^nothing inside has asked for this SYN: it is held for 6 s, .*; publish/);
  });

  it('names translations that have no flow: 1:1 addresses and prefixes', async () => {
    const prefix = lab.subnet();
    const pair = { inside: '', external: '' };
    const { v4 } = lab.subnet();
    pair.external = `${v4}.9`;
    const stateless = await createNat(lab, {
      world: nat.world,
      network: { nat: { ipv6: 'nptv6', prefix: `${prefix.v6}::/64` } },
    });
    const { inside, network, world } = stateless;
    pair.inside = inside.v4;
    const out = await trace({ from: inside.endpoint, to: world.far.v6, protocol: 'udp', port: 53, sourcePort: LOCAL });
    const shown = /leaves as \[(\S+)\]:40000: by the prefix \(NPTv6\), without a flow$/.exec(
      says(out, 'nat-outbound'),
    )?.[1];
    assert.ok(shown?.startsWith(prefix.v6), says(out, 'nat-outbound'));
    const back = await trace({ fromUplink: network, source: world.far.v6, to: shown, protocol: 'udp', port: 53 });
    assert.equal(
      says(back, 'nat-inbound'),
      `[${shown}]:53 is [${inside.v6}]:53: by the prefix (NPTv6), without a flow`,
    );
    await lab.daemon.call('PATCH', `/v1/networks/${network}`, { nat: { static: [pair] } });
    const paired = await trace({
      from: inside.endpoint,
      to: world.far.v4,
      protocol: 'tcp',
      port: 80,
      sourcePort: LOCAL,
    });
    assert.equal(
      says(paired, 'nat-outbound'),
      `${pair.inside}:${LOCAL} leaves as ${pair.external}:${LOCAL}: a 1:1 address, without a flow`,
    );
  });

  it('shows the ICMP error that a sender would get', async () => {
    const view = await trace({ from: nat.inside.endpoint, to: nat.world.far.v4, ttl: 1 });
    assert.equal(view.drop?.reason, 'ttl-expired');
    assert.match(
      says(view, 'answer-errors'),
      new RegExp(`IP ${nat.gateway.v4} > ${nat.inside.v4}: ICMP time exceeded`),
    );
  });
});
