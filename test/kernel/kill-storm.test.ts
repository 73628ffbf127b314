/** `kill -9` at any moment: an interface is there as a whole or not at all, and no namespace is forgotten. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { addresses, links, needsRoot, routes, run, Scratch, until } from './scratch.js';

const PROGRAM = fileURLToPath(new URL('./kill-storm-program.js', import.meta.url));
const ROUNDS = 12;

describe('kernel: killed in the middle', function () {
  this.timeout(120_000);
  let scratch: Scratch;
  before(needsRoot);
  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.close());

  it('leaves no half-made interface, and owns every namespace that it made', async () => {
    const prefix = scratch.name();
    const theirs = () =>
      readdirSync('/run/netns')
        .filter((name) => name.startsWith(`${prefix}-`))
        .sort();
    const seen = { whole: 0, namespaces: 0 };
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const child = scratch.ownChild(spawn(process.execPath, [PROGRAM, scratch.runDir, prefix], { stdio: 'pipe' }));
        let said = '';
        child.stdout!.on('data', (text) => {
          said += text;
        });
        // By what it has done, not by the clock: it gets as far on a busy machine. And from there at any moment of what it does.
        await until(() => said.includes(`\n${2 + (round % 7)}\n`), 30_000);
        await sleep((round * 37) % 23);
        child.kill('SIGKILL');
        await once(child, 'exit');
        const made = (await scratch.kernel.ownedNamespaces()).sort(); // cleans up what was interrupted
        assert.deepEqual(theirs(), made);
        seen.namespaces += made.length;
        for (const name of made) {
          // The kernel removes what the dead process had open at its own pace.
          for (let i = 0; i < 500 && links(name).some(({ linkinfo }) => linkinfo?.info_data.persist !== true); i++)
            await sleep(20);
          for (const { ifname, ifalias, flags } of links(name)) {
            assert.match(ifalias ?? '', /^weft:test:\d+$/, `${ifname} has its alias`);
            assert.ok(flags.includes('UP'));
            assert.equal(addresses(name, ifname).length, 2);
            assert.equal(routes(name).length, 1);
            seen.whole += 1;
          }
        }
        for (const name of made) await scratch.kernel.removeNamespace(name);
        assert.deepEqual(theirs(), []);
      }
      assert.ok(seen.namespaces > ROUNDS && seen.whole > 0, JSON.stringify(seen));
    } finally {
      for (const name of theirs()) run('ip', 'netns', 'del', name);
    }
  });
});
