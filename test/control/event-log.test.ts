/** Event numbers over restarts and crashes, and the journal that keeps the last events. */
import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEventJournal } from '../../src/control/state/event-journal.js';
import { EventLog } from '../../src/control/state/event-log.js';

const KEPT = 10;

describe('control/event-log over restarts', () => {
  let directory: string;
  let file: string;
  const complaints: string[] = [];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), `weft-events-${process.pid}-`));
    file = join(directory, 'run', 'events.jsonl');
    complaints.length = 0;
  });

  afterEach(() => rm(directory, { recursive: true, force: true }));

  const open = () => openEventJournal(file, KEPT, (reason) => complaints.push(reason));
  const start = (reserved: number) => new EventLog({ now: () => 0, reserved, journal: open() });
  const add = (log: EventLog, count: number) => {
    for (let i = 0; i < count; i++) log.add({ type: 't', object: 'daemon', name: 'weftd', message: `m${i}` });
  };
  const numbers = (log: EventLog, since = 0) => log.since(since).map(({ sequence }) => sequence);

  it('goes on where a killed daemon was, with what that one told', () => {
    const first = start(0);
    const reserved = first.reserve();
    add(first, 3);
    const second = start(reserved);
    assert.deepEqual(second.since(0), first.since(0));
    add(second, 1);
    assert.deepEqual(numbers(second), [1, 2, 3, 4]);
  });

  it('leaps over what may have been used when the journal is lost, or is older than the state', async () => {
    const first = start(0);
    add(first, 3);
    const stale = await readFile(file);
    add(first, 5);
    const reserved = first.reserve();
    await rm(file);
    const second = start(reserved);
    add(second, 2);
    assert.deepEqual(numbers(second), [reserved + 1, reserved + 2]);
    const later = second.reserve();
    await writeFile(file, stale);
    const third = start(later);
    add(third, 1);
    assert.deepEqual(numbers(third), [later + 1]);
    assert.deepEqual(numbers(start(third.reserve())), [later + 1], 'the old events do not come back');
  });

  it('asks once for a save while enough numbers are left, and again after that', () => {
    let asked = 0;
    const log = start(0);
    log.onReserveLow = () => asked++;
    const reserved = log.reserve();
    add(log, reserved / 2 - 1);
    assert.equal(asked, 0);
    add(log, 10);
    assert.equal(asked, 1);
    log.reserve();
    add(log, reserved);
    assert.equal(asked, 2);
  });

  it('ends at a line that a crash cut short or somebody damaged, and writes on behind the last good one', async () => {
    add(start(0), 4);
    await appendFile(file, '{"sequence":5,"time":"');
    const second = start(0);
    assert.deepEqual(numbers(second), [1, 2, 3, 4]);
    add(second, 1);
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).sequence),
      [1, 2, 3, 4, 5],
    );
    for (const damage of ['null', '[]', '{"sequence":3}', '\0\0', lines[0]!]) {
      await writeFile(file, `${[...lines.slice(0, 2), damage, ...lines.slice(2)].join('\n')}\n`);
      assert.deepEqual(numbers(start(0)), [1, 2], damage);
    }
  });

  it('keeps its file bounded', async () => {
    const log = start(0);
    for (let i = 0; i < 20; i++) {
      add(log, KEPT - 1);
      assert.ok((await readFile(file, 'utf8')).split('\n').length <= 2 * KEPT);
    }
    const last = 20 * (KEPT - 1);
    assert.equal(numbers(start(0)).at(-1), last);
    assert.equal(numbers(start(0)).length, KEPT);
  });

  it('begins anew when somebody removed its file', async () => {
    const log = start(0);
    add(log, KEPT);
    await rm(file);
    add(log, KEPT);
    assert.deepEqual(complaints, []);
    add(log, 3);
    assert.deepEqual(numbers(start(0)), [21, 22, 23]);
  });

  it('is given up as a whole when it cannot be written, and the events go on', async () => {
    await mkdir(file, { recursive: true });
    const log = start(5);
    add(log, 2);
    assert.deepEqual(numbers(log), [6, 7]);
    assert.equal(complaints.length, 1);
    await assert.rejects(readFile(file), { code: 'ENOENT' });
  });
});
