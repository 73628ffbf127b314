/** What the datapath knows of stations behind other VTEPs is always what the sources say, whatever is said, taken back and forgotten. */
import assert from 'node:assert/strict';
import { BindingRows } from '../../src/compile/binding-rows.js';
import { type Binding, BindingBook } from '../../src/control/overlay/binding-book.js';
import { BINDING_CLUSTER, BINDING_INTS, BINDING_STATIC } from '../../src/datapath/program.js';
import { Prng } from '../../src/lib/prng.js';

const SEEDS = [1, 2, 3, 4, 5];
const STEPS = 3000;
const NETWORKS = ['blue', 'red'];
const MACS = ['02:00:00:00:00:01', '02:00:00:00:00:02', '02:00:00:00:00:03'];
const VTEPS = ['192.0.2.1', '192.0.2.2', '2001:db8::1'];
const ADDRESSES = ['10.0.0.1', '10.0.0.2', 'fd00::1'];
const IDS = ['static a', 'static b', 'cluster one/a', 'cluster two/a', 'cluster two/b'];

/** A datapath that keeps what it is told, by network, VLAN and MAC: the VTEP and the addresses. */
class Told {
  readonly stations = new Map<string, { vtep: string; origin: number; addresses: Set<string> }>();

  take(rows: Int32Array): void {
    for (let at = 0; at < rows.length; at += BINDING_INTS) {
      const [operation, network, vlan, high, low] = rows.subarray(at, at + 5);
      const vtep = `${rows.subarray(at + 5, at + 10)}`;
      const [origin = 0, family] = rows.subarray(at + 10, at + 12);
      const key = `${network} ${vlan} ${high} ${low}`;
      if (operation === 0) this.stations.delete(key);
      else {
        const station = this.stations.get(key) ?? { vtep, origin, addresses: new Set<string>() };
        Object.assign(station, { vtep, origin });
        if (family !== 0) station.addresses.add(`${rows.subarray(at + 11, at + 16)}`);
        this.stations.set(key, station);
      }
    }
  }

  forget(network: number): void {
    for (const key of [...this.stations.keys()]) if (key.startsWith(`${network} `)) this.stations.delete(key);
  }

  get comparable(): unknown {
    return [...this.stations]
      .map(([key, { vtep, origin, addresses }]) => [key, vtep, origin, [...addresses].sort()])
      .sort((a, b) => (String(a) < String(b) ? -1 : 1));
  }
}

/** What the sources say now: the static one, else the last one that spoke. */
function wanted(claims: ReadonlyMap<string, Binding>, isThere: (network: string) => boolean): Told {
  const winners = new Map<string, Binding>();
  for (const binding of claims.values()) {
    const key = `${binding.network} ${binding.vlan} ${binding.mac}`;
    const winner = winners.get(key);
    if (winner?.origin === BINDING_STATIC && binding.origin !== BINDING_STATIC) continue;
    winners.set(key, binding);
  }
  const rows = new BindingRows();
  for (const binding of winners.values()) {
    if (isThere(binding.network)) rows.add(NETWORKS.indexOf(binding.network), binding.origin, binding);
  }
  const told = new Told();
  told.take(rows.toTable());
  return told;
}

describe('the book of bindings', () => {
  for (const seed of SEEDS) {
    it(`tells the datapath what the sources say, seed ${seed}`, async () => {
      const prng = new Prng(seed);
      const random = () => prng.below(1000) / 1000;
      const pick = <T>(items: readonly T[]): T => items[prng.below(items.length)]!;
      const there = new Set(NETWORKS);
      const told = new Told();
      let isRefused = false;
      const book = new BindingBook({
        rowOf: (network) => (there.has(network) ? NETWORKS.indexOf(network) : null),
        send: async (rows) => {
          if (isRefused) throw new Error('as the test wants it');
          told.take(rows);
        },
      });
      const claims = new Map<string, Binding>();
      for (let step = 0; step < STEPS; step++) {
        const id = pick(IDS);
        const what = random();
        if (what < 0.6) {
          const origin = id.startsWith('static') ? BINDING_STATIC : BINDING_CLUSTER;
          const ip = ADDRESSES.filter(() => random() < 0.4);
          const binding = {
            network: pick(NETWORKS),
            vlan: pick([0, 7]),
            mac: pick(MACS),
            vtep: pick(VTEPS),
            ip,
            origin,
          };
          claims.delete(id);
          claims.set(id, binding);
          book.set(id, binding);
        } else if (what < 0.85) {
          claims.delete(id);
          book.remove(id);
        } else if (what < 0.95) {
          const network = pick(NETWORKS);
          told.forget(NETWORKS.indexOf(network));
          book.forgetTold(network);
          if (there.delete(network)) await book.flush();
          if (random() < 0.7) there.add(network);
        }
        isRefused = random() < 0.05;
        await book.flush().catch(() => {});
        isRefused = false;
        if (random() < 0.3) {
          await book.flush();
          assert.deepEqual(told.comparable, wanted(claims, (network) => there.has(network)).comparable, `step ${step}`);
        }
      }
    });
  }

  it('says nothing when nothing has changed', async () => {
    const sent: Int32Array[] = [];
    const book = new BindingBook({ rowOf: () => 0, send: async (rows) => void sent.push(rows) });
    book.set('static a', { network: 'blue', vlan: 0, mac: MACS[0]!, vtep: VTEPS[0]!, ip: [], origin: BINDING_STATIC });
    await book.flush();
    await book.flush();
    assert.deepEqual(
      sent.map(({ length }) => length),
      [BINDING_INTS],
    );
    assert.deepEqual([book.ids('static '), book.get('static a')?.vtep], [['static a'], VTEPS[0]]);
  });
});
