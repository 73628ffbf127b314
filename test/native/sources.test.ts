// What the C sources promise in text: the system calls they list, and numbers that TypeScript repeats; and the build.

import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as loader from '../../src/native/index.js';

function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory);
  return directory;
}

const ROOT = packageRoot();
const SOURCES = join(ROOT, 'src', 'native');
const BUILD = join(ROOT, 'scripts', 'build-native');

describe('native: sources', () => {
  it('list system calls by names that the kernel knows', function () {
    const header = ['x86_64-linux-gnu/asm', 'aarch64-linux-gnu/asm', 'asm']
      .map((directory) => `/usr/include/${directory}/unistd_64.h`)
      .find((path) => existsSync(path));
    const text = header ? readFileSync(header, 'utf8') : '';
    const known = new Set([...text.matchAll(/__NR_(\w+)/g)].map((match) => match[1]));
    let lists = 0;
    for (const file of readdirSync(SOURCES).filter((name) => name.endsWith('.c'))) {
      for (const [line, names = ''] of readFileSync(join(SOURCES, file), 'utf8').matchAll(/^.*#syscalls:(.*)$/gm)) {
        assert.match(line, /^\/\/ #syscalls:( [a-z0-9_]+)+$/, file);
        lists += 1;
        for (const name of names.trim().split(' ')) assert.ok(known.size === 0 || known.has(name), `${file}: ${name}`);
      }
    }
    assert.ok(lists > 20);
    if (known.size === 0) this.skip();
  });

  it('agree with TypeScript about every constant', () => {
    const typed = loader as unknown as Record<string, unknown>;
    assert.ok(Object.keys(loader.nativeConstants).length > 20);
    for (const [name, value] of Object.entries(loader.nativeConstants)) assert.equal(typed[name], value, name);
  });

  it('give each errno its name', () => {
    assert.deepEqual([-19, -77, 11].map(loader.errorName), ['ENODEV', 'EBADFD', 'EAGAIN']);
    assert.equal(loader.errorName(-4000), 'errno 4000');
  });
});

describe('scripts/build-native', function () {
  this.timeout(120_000);
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), `wt${process.pid}`));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  function build(environment: Record<string, string>, ...args: string[]) {
    const env = { ...process.env, WEFT_NATIVE_OUTPUT: join(directory, 'out', 'addon.node'), ...environment };
    return spawnSync('sh', [BUILD, ...args], { env, encoding: 'utf8', cwd: '/' });
  }

  it('builds from anywhere, once', () => {
    assert.equal(build({}).status, 0);
    const first = statSync(join(directory, 'out', 'addon.node')).mtimeMs;
    assert.equal(build({}).status, 0);
    assert.equal(statSync(join(directory, 'out', 'addon.node')).mtimeMs, first, 'nothing to do');
    assert.deepEqual(readdirSync(join(directory, 'out')), ['addon.node']);
  });

  it('names the package that is missing', () => {
    const { status, stderr } = build({ CC: 'no-such-compiler' }, '--force');
    assert.equal(status, 1);
    assert.match(stderr, /apt-get install gcc/);
  });

  it('leaves the old result and no half-written one when compilation fails', () => {
    const { status, stderr } = build({ CFLAGS: '-include /nonexistent.h' }, '--force');
    assert.equal(status, 1);
    assert.match(stderr, /build-native: the compiler failed/);
    assert.deepEqual(readdirSync(join(directory, 'out')), ['addon.node']);
  });
});
