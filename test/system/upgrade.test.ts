// An upgrade in place: an older state comes up under a newer weft while traffic goes on; a state of a newer weft is left alone.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WeftEvent } from '../../src/control/controller.js';
import { STATE_VERSION } from '../../src/model/state-migrations.js';
import { useLab } from '../support/system-lab.js';
import { createPair, type Pair } from '../support/system-pair.js';
import { waitFor } from '../support/system-process.js';

describe('an upgrade of the daemon', function upgrade() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  const file = () => join(daemon.stateDir, 'state.json');
  let pair: Pair;

  before(async () => {
    pair = await createPair(lab, { network: { type: 'internal' } });
  });

  /** The state as version 1 wrote it: the same text without what came later (test/model/state-migrations.test.ts). */
  function asVersion1(): string {
    const text = readFileSync(file(), 'utf8');
    return text.replace(`"weft":${STATE_VERSION}`, '"weft":1').replace(/"eventsReserved":\d+,\n/, '');
  }

  const listed = async () => ({
    networks: await daemon.call('GET', '/v1/networks'),
    compartments: await daemon.call('GET', '/v1/compartments'),
    endpoints: await daemon.call('GET', '/v1/endpoints'),
  });

  const events = async (since: number): Promise<WeftEvent[]> => daemon.call('GET', `/v1/events?since=${since}`);

  it('from version 1 of the state keeps every object, the traffic and the old file', async () => {
    const asBefore = await listed();
    const ping = lab.background(pair.left.base, ['ping', '-i', '0.05', '-W', '1', '-D', pair.right.v4]);
    const answers = () => ping.stdout.split('bytes from').length - 1;
    await waitFor('the first answers', async () => answers() > 5);
    assert.equal((await daemon.terminate()).status, 0);
    const old = asVersion1();
    writeFileSync(file(), old);
    await daemon.start();
    assert.deepEqual(await listed(), asBefore);
    const known = answers();
    await waitFor('answers after the upgrade', async () => answers() > known + 10);
    await ping.stop('SIGINT');
    assert.equal(readFileSync(`${file()}.version-1`, 'utf8'), old, 'who goes back finds what the older weft knew');
    assert.match(readFileSync(file(), 'utf8'), new RegExp(`^\\{"weft":${STATE_VERSION},`));
  });

  it('never gives an event number twice: killed, ended in order, or after a power cut took the run directory', async () => {
    const last = async () => (await events(0)).at(-1)!.sequence;
    const beforeKill = await events(0);
    await daemon.kill();
    await daemon.start();
    assert.deepEqual((await events(0)).slice(0, beforeKill.length), beforeKill, 'a killed daemon told nothing in vain');
    assert.equal((await events(beforeKill.at(-1)!.sequence))[0]!.sequence, beforeKill.at(-1)!.sequence + 1);
    const beforeEnd = await last();
    await daemon.terminate();
    await daemon.start();
    assert.deepEqual(
      (await events(beforeEnd)).map(({ sequence, type }) => [sequence - beforeEnd, type]),
      [
        [1, 'daemon-stopping'],
        [2, 'daemon-started'],
      ],
    );
    const beforeCut = await last();
    await daemon.kill();
    writeFileSync(join(daemon.runDir, 'events.jsonl'), '');
    await daemon.start();
    const [gap, started] = await events(beforeCut);
    assert.deepEqual([gap!.type, started!.type], ['events-missed', 'daemon-started']);
    assert.ok(started!.sequence > beforeCut);
  });

  it('does not start on the state of a newer weft, says so in one line and leaves it byte for byte alone', async () => {
    await daemon.terminate();
    const mine = readFileSync(file(), 'utf8');
    const newer = mine.replace(`"weft":${STATE_VERSION}`, `"weft":${STATE_VERSION + 1}`);
    writeFileSync(file(), newer);
    const names = readdirSync(daemon.stateDir);
    const outcome = await daemon.spawn().end();
    assert.equal(outcome.status, 1);
    assert.match(outcome.stderr, /^error: .*state\.json was written by a newer weft \(version \d+ [^\n]*\); [^\n]*\n$/);
    assert.deepEqual([readFileSync(file(), 'utf8'), readdirSync(daemon.stateDir)], [newer, names]);
    writeFileSync(file(), mine);
    await daemon.start();
    assert.ok(await lab.pings(pair.left.base, pair.right.v4), 'the interfaces were left alone, too');
  });
});
