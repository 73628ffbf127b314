/** The lock of a state directory, and what a save leaves on disk. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lockDirectory } from '../../src/control/state/state-lock.js';
import { openStore, StartupError } from '../../src/control/state/store.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';
import { makeStateDirectory } from '../support/control-lab.js';
import { STATE_VERSION_1_TEXT } from '../support/state-version-1.js';

const clock = { now: () => Date.now() };

describe('control/store', () => {
  let directory: string;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    ({ directory, remove } = await makeStateDirectory());
  });

  afterEach(() => remove());

  it('makes its directory for root and its group, and its file for root', async () => {
    const nested = join(directory, 'a', 'b');
    const store = await openStore({ directory: nested, clock });
    await store.save([]);
    assert.equal((await stat(nested)).mode & 0o7777, 0o750);
    assert.equal((await stat(join(nested, 'state.json'))).mode & 0o777, 0o600);
    assert.deepEqual((await readdir(nested)).sort(), ['lock', 'state.json']);
    await store.close();
    assert.deepEqual(await readdir(nested), ['state.json']);
  });

  it('keeps what it saved, and the id of the instance', async () => {
    const first = await openStore({ directory, clock });
    const parsed = parseNetworkRequest({ name: 'n', type: 'private' });
    assert.ok(parsed.ok);
    first.state.addNetwork(parsed.value, 'id');
    await first.save([{ name: 'c', file: '/c' }]);
    await first.close();
    const second = await openStore({ directory, clock });
    assert.deepEqual([...second.state.networks.keys()], ['n']);
    assert.equal(second.state.instance, first.state.instance);
    assert.deepEqual(second.captures, [{ name: 'c', file: '/c' }]);
    await second.close();
  });

  it('leaves the old file alone when it cannot write a new one', async () => {
    const store = await openStore({ directory, clock });
    await store.save([]);
    const before = await readFile(join(directory, 'state.json'), 'utf8');
    await mkdir(join(directory, 'state.json.new'));
    await assert.rejects(store.save([]));
    assert.equal(await readFile(join(directory, 'state.json'), 'utf8'), before);
    await store.close();
  });

  it('says in one sentence why a directory is of no use', async () => {
    const file = join(directory, 'file');
    await writeFile(file, '');
    await assert.rejects(openStore({ directory: file, clock }), StartupError);
    await assert.rejects(openStore({ directory: join(file, 'below'), clock }), StartupError);
    await mkdir(join(directory, 'state.json'));
    await assert.rejects(
      openStore({ directory, clock }),
      (error) => error instanceof StartupError && /cannot be read/.test(error.message),
    );
  });

  it('keeps the file of an older version under its name before the first save replaces it', async () => {
    const file = join(directory, 'state.json');
    await writeFile(file, STATE_VERSION_1_TEXT);
    const store = await openStore({ directory, clock });
    assert.deepEqual([...store.state.endpoints.keys()], ['op-a-lan', 'op-b-lan', 'op-loose']);
    assert.equal(await readFile(file, 'utf8'), STATE_VERSION_1_TEXT);
    await store.save([]);
    assert.equal(await readFile(`${file}.version-1`, 'utf8'), STATE_VERSION_1_TEXT);
    assert.match(await readFile(file, 'utf8'), /^\{"weft":4,\n/);
    await store.close();
    assert.deepEqual((await readdir(directory)).sort(), ['state.json', 'state.json.version-1']);
  });

  it('keeps a file that it cannot read as state', async () => {
    await writeFile(join(directory, 'state.json'), '\0'.repeat(100));
    await chmod(join(directory, 'state.json'), 0o600);
    const store = await openStore({ directory, clock });
    assert.equal(store.warnings.length, 1);
    const aside = (await readdir(directory)).find((name) => name.startsWith('state.json.corrupt-'));
    assert.equal((await readFile(join(directory, aside!))).length, 100);
    await store.close();
  });
});

describe('control/state-lock', () => {
  let directory: string;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    ({ directory, remove } = await makeStateDirectory());
  });

  afterEach(() => remove());

  const held = async () => {
    const result = await lockDirectory(directory);
    if (result.ok) return result.lock;
    throw new Error(result.reason);
  };

  it('is held by one, and free again when it was released', async () => {
    const lock = await held();
    const refused = await lockDirectory(directory);
    assert.ok(!refused.ok && refused.reason.includes(String(process.pid)));
    await lock.release();
    await (await held()).release();
    assert.deepEqual(await readdir(directory), []);
  });

  it('is taken over from a process that was killed, also while that is a zombie or its id belongs to another', async () => {
    // The shell does not wait for its child, so that the child stays a zombie until the shell ends.
    const shell = spawn('sh', ['-c', 'sleep 0.01 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
    try {
      const zombie = await new Promise<number>((resolve) => shell.stdout.once('data', (text) => resolve(Number(text))));
      const fields = async () => (await readFile(`/proc/${zombie}/stat`, 'utf8')).split(') ')[1]!.split(' ');
      while ((await fields())[0] !== 'Z') await new Promise((resolve) => setTimeout(resolve, 5));
      const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
      const stale = [
        `${zombie} ${(await fields())[19]} ${boot}`,
        `${process.pid} 1 ${boot}`,
        '4194999 1 x',
        '',
        'nonsense',
      ];
      for (const owner of stale) {
        await writeFile(join(directory, 'lock'), owner);
        await (await held()).release();
      }
    } finally {
      shell.kill('SIGKILL');
    }
  });

  it('goes to one of several processes that find the same stale lock', async function race() {
    this.timeout(120_000);
    await writeFile(join(directory, 'lock'), 'stale');
    const url = new URL('../../src/control/state/state-lock.js', import.meta.url);
    const program = `import { lockDirectory } from ${JSON.stringify(url.href)};
      const { ok } = await lockDirectory(${JSON.stringify(directory)});
      process.stdout.write(String(ok));
      process.stdin.resume().on('end', () => process.exit());`;
    const processes = Array.from({ length: 5 }, () =>
      spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    try {
      const answers = processes.map(
        ({ stdout }) => new Promise<string>((resolve) => stdout.once('data', (text) => resolve(String(text)))),
      );
      const holders = (await Promise.all(answers)).filter((answer) => answer === 'true');
      assert.equal(holders.length, 1);
    } finally {
      for (const each of processes) each.kill('SIGKILL');
    }
  });
});
