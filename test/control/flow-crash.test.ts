// The flow table after a kill -9 at any moment: what was complete is there, what was half written is not, and all of it fits together.
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Nat } from '../../src/datapath/nat.js';
import { emptyProgram, ROLE_INSIDE } from '../../src/datapath/program.js';
import { openFlowMemory } from '../../src/ports/flow-file.js';
import { checkNat } from '../support/nat-check.js';

const PROGRAM = fileURLToPath(new URL('./flow-crash-program.js', import.meta.url));
const KILLS = 8;

describe('flows after a kill', function () {
  this.timeout(120_000);
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'weft-flows-'));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it('are complete or not there', async () => {
    const path = join(directory, 'flows.bin');
    let seen = 0;
    for (let kill = 1; kill <= KILLS; kill++) {
      const child = spawn(process.execPath, [PROGRAM, path, String(kill)], { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(child.stdout, 'data');
      await wait(30 + kill * 7);
      child.kill('SIGKILL');
      await once(child, 'exit');
      seen += checkFile(path);
    }
    assert.ok(seen > KILLS * 1000, `${seen} flows were found`);
  });
});

/** Takes the file over, as the next daemon does; returns the number of flows. */
function checkFile(path: string): number {
  const nat = new Nat(openFlowMemory(path), 1, 2, 0);
  const program = { ...emptyProgram(), networkCount: 1, networkKey: Int32Array.of(7), networkUplink: Int32Array.of(0) };
  nat.adopt({ ...program, networkRole: Uint8Array.of(ROLE_INSIDE) }, 0);
  checkNat(nat);
  const { flows, mappings } = nat;
  for (let row = 0; row < flows.usedRows(); row++) {
    if (!flows.isUsed(row)) continue;
    const number = flows.insidePort(row);
    const family = number & 1 ? 6 : 4;
    assert.deepEqual(
      [flows.family(row), flows.remotePort(row), flows.state(row), flows.network(row)],
      [family, number ^ 0x5555, number & 127, nat.slots.slotOf(0)],
    );
    assert.equal(nat.addressWord(family, flows.remoteAddress(row), 0), number);
    assert.equal(nat.addressWord(family, flows.insideAddress(row), 3), family === 6 ? number : 0);
    assert.equal(mappings.outsidePort(flows.mapping(row)), flows.outsidePort(row));
  }
  return flows.count;
}
