import assert from 'node:assert/strict';
import { KernelError } from '../../src/control/kernel/kernel.js';
import { MutationQueue } from '../../src/control/mutation-queue.js';
import { EventLog } from '../../src/control/state/event-log.js';
import { RequestError } from '../../src/model/problems.js';

describe('control/mutation-queue', () => {
  let trace: string[];
  let saveFailure: string | null;
  let queue: MutationQueue;
  let events: EventLog;

  beforeEach(() => {
    trace = [];
    saveFailure = null;
    events = new EventLog({ now: () => 0 });
    queue = new MutationQueue({
      save: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        if (saveFailure !== null) throw new Error(saveFailure);
        trace.push('save');
      },
      events,
      clock: { now: () => 0 },
      log: { error: (details, message) => void trace.push(`${message}: ${JSON.stringify(details)}`) },
    });
  });

  const add = (name: string, then: () => void = () => {}) =>
    queue
      .run(name, async (transaction) => {
        trace.push(`${name} begins`);
        await new Promise((resolve) => setImmediate(resolve));
        transaction.onUndo(name, () => void trace.push(`${name} undone`));
        transaction.emit({ type: name, object: 'daemon', name, message: name });
        then();
        trace.push(`${name} ends`);
        return name;
      })
      .then((value) => trace.push(`${value} acknowledged`));

  it('runs one change at a time and saves those that waited together', async () => {
    await Promise.all([add('a'), add('b')]);
    const expected = ['a begins', 'a ends', 'b begins', 'b ends', 'save', 'a acknowledged', 'b acknowledged'];
    assert.deepEqual(trace, expected);
    assert.deepEqual(
      events.since(0).map(({ type }) => type),
      ['a', 'b'],
    );
  });

  it('takes a change back that fails, before the next begins', async () => {
    const failing = add('a', () => {
      throw new KernelError('call', 'subject', 'EPERM', 'why');
    });
    await Promise.allSettled([failing, add('b')]);
    const expected = ['a begins', 'a undone', 'b begins', 'b ends', 'save', 'b acknowledged'];
    assert.deepEqual(trace, expected);
    await assert.rejects(failing, (error) => error instanceof RequestError && error.code === 'kernel-refused');
  });

  it('takes everything back, last first, when the save fails, and saves the next time in any case', async () => {
    saveFailure = 'ENOSPC';
    const results = await Promise.allSettled([add('a'), add('b')]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    assert.deepEqual(trace.slice(-2), ['b undone', 'a undone']);
    assert.deepEqual(events.since(0), []);
    saveFailure = null;
    trace = [];
    await queue.run('nothing', async () => {});
    assert.deepEqual(trace, ['save']);
    await queue.run('nothing', async () => {});
    assert.deepEqual(trace, ['save']);
  });

  it('finishes what must not be taken back before anything else begins', async () => {
    const last = queue.run('a', async (transaction) => {
      transaction.onCommit('remove', async () => {
        await new Promise((resolve) => setImmediate(resolve));
        trace.push('removed');
      });
      transaction.onCommit('break', () => {
        throw new Error('broken');
      });
    });
    await Promise.all([last, add('b')]);
    const failure = 'a last step of a change failed: {"change":"a","step":"break","error":"Error: broken"}';
    assert.deepEqual(trace, ['save', 'removed', failure, 'b begins', 'b ends', 'save', 'b acknowledged']);
  });

  it('saves what came before a change that cannot be taken back', async () => {
    const late = queue.runAfterSave('late', async () => void trace.push('late'));
    await Promise.all([add('a'), queue.runAfterSave('b', async () => void trace.push('b')), add('c'), late]);
    const expected = [
      'late',
      'a begins',
      'a ends',
      'save',
      'a acknowledged',
      'b',
      'c begins',
      'c ends',
      'save',
      'c acknowledged',
    ];
    assert.deepEqual(trace, expected);
  });

  it('goes on with the other steps when one cannot be taken back', async () => {
    const failing = queue.run('a', async (transaction) => {
      transaction.onUndo('first', () => void trace.push('first undone'));
      transaction.onUndo('second', () => {
        throw new Error('stuck');
      });
      throw new Error('a bug');
    });
    await assert.rejects(failing, /a bug/);
    assert.match(trace[0]!, /second.*stuck/);
    assert.equal(trace[1], 'first undone');
  });

  it('refuses changes once it is closed, and finishes those that wait', async () => {
    const waiting = add('a');
    await queue.close();
    assert.equal(trace.at(-1), 'a acknowledged');
    await waiting;
    await assert.rejects(
      queue.run('late', async () => {}),
      (error) => error instanceof RequestError && error.code === 'unavailable',
    );
  });
});

describe('control/event-log', () => {
  it('keeps the last few thousand events and loses no number', () => {
    const log = new EventLog({ now: () => 1000 });
    for (let i = 1; i <= 10_000; i++) log.add({ type: 't', object: 'daemon', name: 'x', message: String(i) });
    const kept = log.since(0);
    assert.equal(kept.length, 4096);
    assert.equal(kept.at(-1)?.sequence, 10_000);
    assert.equal(kept[0]?.sequence, 10_000 - 4095);
    assert.deepEqual(
      log.since(9_998).map(({ message }) => message),
      ['9999', '10000'],
    );
    assert.deepEqual(log.since(10_000), []);
    assert.deepEqual(log.since(20_000), []);
    assert.equal(kept[0]?.time, '1970-01-01T00:00:01.000Z');
  });

  it('calls listeners until they stop listening', () => {
    const log = new EventLog({ now: () => 0 });
    const heard: number[] = [];
    const stop = log.listen(({ sequence }) => void heard.push(sequence));
    log.add({ type: 't', object: 'daemon', name: 'x', message: '' });
    stop();
    log.add({ type: 't', object: 'daemon', name: 'x', message: '' });
    assert.deepEqual(heard, [1]);
  });
});
