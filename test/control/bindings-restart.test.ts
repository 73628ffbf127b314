// Bindings on their way to a real worker thread, which dies and is replaced: the next one knows what the control plane said, and no more.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDatapath } from '../../src/control/worker/datapath-client.js';
import type { DatapathHost } from '../../src/control/worker/datapath-host.js';
import { BINDING_CLUSTER, BINDING_INTS, MAX_PORTS, type Program } from '../../src/datapath/program.js';
import { listMacs } from '../../src/tables/mac-table.js';
import { listRemotes } from '../../src/tables/remote-table.js';
import { bindingRows } from '../support/binding-rows.js';
import { buildProgram, type NetworkSettings, type PlacedPort } from '../support/program-builder.js';
import { addressText, tunnelPorts, underlayNetworks, type VtepSettings } from '../support/tunnel-columns.js';

const WORKER = new URL('../../daemon/datapath-worker.js', import.meta.url);
const VTEPS: Record<string, VtepSettings> = { v: { kind: 'socket', address: '192.0.2.1' } };
const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const C = '02:00:00:00:00:0c';

function program(version: number, key = 1000): Program {
  const blue: NetworkSettings = { overlay: { vtep: 'v', vni: 5000 }, gateway: { addresses: ['10.0.0.1/24'] } };
  const networks = new Map([['blue', blue], ...underlayNetworks(VTEPS)]);
  const ports = tunnelPorts(networks, VTEPS).map(
    ([name, port], index): PlacedPort => ({ ...port, name, index, serial: index + 1 }),
  );
  const built = buildProgram(version, networks, ports, 0, VTEPS);
  built.networkKey[0] = key;
  return built;
}

describe('bindings of a worker that dies', function restart() {
  this.timeout(120_000);
  let datapath: DatapathHost;
  let directory: string;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'weft-bindings-'));
    const flowFile = join(directory, 'flows.bin');
    datapath = await startDatapath({ workerUrl: WORKER, flowFile, log: { warn() {}, error() {} } });
    await datapath.publish(program(1));
  });
  afterEach(async () => {
    await datapath.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Low word of each MAC and the VTEP that it is behind. */
  function known(): string[] {
    const remotes = new Map(listRemotes(datapath.tables.remotes).map((row) => [row.remote, row]));
    return listMacs(datapath.tables.macs)
      .map(({ macLow, port, origin }) => {
        const remote = remotes.get(port - MAX_PORTS);
        return `${macLow.toString(16)} ${remote && addressText(remote.address, remote.family)} ${origin}`;
      })
      .sort();
  }

  async function replaceWorker(): Promise<void> {
    const restarted = new Promise((resolve) => datapath.onRestart(resolve));
    datapath.injectFault('throw');
    await restarted;
  }

  it('are told to the next one: moved and taken back as they were', async () => {
    await datapath.setBindings(
      bindingRows(
        { mac: A, vtep: '192.0.2.2', ip: '10.0.0.10' },
        { mac: A, vtep: '192.0.2.2', ip: '10.0.0.11' },
        { mac: B, vtep: '192.0.2.2', ip: '10.0.0.12' },
        { mac: C, vtep: '192.0.2.2' },
      ),
    );
    await datapath.setBindings(
      bindingRows(
        { mac: A, vtep: '192.0.2.3', ip: '10.0.0.10' },
        { mac: B, vtep: '192.0.2.2', ip: '10.0.0.12', isGone: true },
        { mac: C, vtep: '192.0.2.2', isGone: true },
        { mac: C, vtep: '192.0.2.4', origin: 1 },
      ),
    );
    const expected = ['a 192.0.2.3 2', 'c 192.0.2.4 1'];
    assert.deepEqual(known(), expected);
    await replaceWorker();
    assert.deepEqual(known(), expected);
  });

  it('are not told to the next one when their network is another now', async () => {
    await datapath.setBindings(bindingRows({ mac: A, vtep: '192.0.2.2' }));
    await datapath.publish(program(2, 2000));
    assert.deepEqual(known(), []);
    await datapath.setBindings(bindingRows({ mac: B, vtep: '192.0.2.2' }));
    await replaceWorker();
    assert.deepEqual(known(), ['b 192.0.2.2 2']);
  });

  it('hold in the order in which they were told, however many there are', async () => {
    const count = 20_000;
    const rows = new Int32Array(count * BINDING_INTS);
    for (let n = 0; n < count; n++) {
      const vtep = [4, 0xc6336400 + (n & 255), 0, 0, 0];
      rows.set([1, 0, 0, 0x0200, n, ...vtep, BINDING_CLUSTER, 4, 0x0a000000 + n, 0, 0, 0], n * BINDING_INTS);
    }
    const gone = rows.slice((count - 1) * BINDING_INTS);
    gone[0] = 0;
    const all = datapath.setBindings(rows);
    const last = datapath.setBindings(gone);
    await Promise.all([all, last]);
    assert.equal(listMacs(datapath.tables.macs).length, count - 1);
    await replaceWorker();
    assert.equal(listMacs(datapath.tables.macs).length, count - 1);
    assert.equal(listRemotes(datapath.tables.remotes).length, 256);
  });

  it('of a network that goes while they are on their way do not come to the next one in its row', async () => {
    const rows = new Int32Array(5000 * BINDING_INTS);
    const one = bindingRows({ mac: A, vtep: '192.0.2.2' });
    for (let n = 0; n < 5000; n++) {
      rows.set(one, n * BINDING_INTS);
      rows[n * BINDING_INTS + 4] = n;
    }
    const told = datapath.setBindings(rows);
    await Promise.all([datapath.publish(program(2, 2000)), told]);
    assert.deepEqual(known(), []);
  });
});
