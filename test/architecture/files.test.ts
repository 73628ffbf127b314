// Files that a newcomer can read: not too long, and each says first what it is.
import { strict as assert } from 'node:assert';
import { readdirSync } from 'node:fs';
import { PACKAGE_ROOT, sourceFiles } from '../support/source-tree.js';

const MOST_LINES = 450;
const MOST_DAEMON_LINES = 150;
/** Beside what git ignores and files that begin with a dot. */
const TOP_LEVEL = [
  ...['LICENSE', 'README.md', 'biome.json', 'package.json', 'package-lock.json', 'tsconfig.json'],
  ...['daemon', 'scripts', 'src', 'systemd', 'test'],
];
const IGNORED = ['build', 'dist', 'node_modules'];

describe('files', () => {
  const source = sourceFiles('src');
  const all = [...source, ...sourceFiles('daemon', 'test', 'scripts')];

  it(`have at most ${MOST_LINES} lines`, () => {
    const long = all.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }));
    assert.deepEqual(
      long.filter(({ lines }) => lines > MOST_LINES),
      [],
    );
  });

  it(`of daemon/ only wire things together, in at most ${MOST_DAEMON_LINES} lines`, () => {
    const long = sourceFiles('daemon').filter(({ text }) => text.split('\n').length - 1 > MOST_DAEMON_LINES);
    assert.deepEqual(
      long.map(({ path }) => path),
      [],
    );
  });

  it('open with a comment that says what they are', () => {
    const judged = all.filter(({ path }) => !path.endsWith('.test.ts'));
    const silent = judged.filter(({ text }) => !/^(#!.*\n)?\s*(\/\*\*?|\/\/)\s*\S*/.test(text));
    assert.deepEqual(
      silent.map(({ path }) => path),
      [],
    );
  });

  it('stand in the folders that they belong to, not at the top level', () => {
    const known = new Set([...TOP_LEVEL, ...IGNORED]);
    const strays = readdirSync(PACKAGE_ROOT).filter((name) => !name.startsWith('.') && !known.has(name));
    assert.deepEqual(strays, []);
  });

  it('are named in kebab-case', () => {
    const odd = all.filter(({ path }) => !/^[a-z0-9]+([-.][a-z0-9]+)*\.ts$/.test(path.split('/').at(-1)!));
    assert.deepEqual(
      odd.map(({ path }) => path),
      [],
    );
  });

  it('leave nothing for later', () => {
    const marks = new RegExp(`\\b(${['TO', 'FIX', 'X'].join('|')})(DO|ME|XX)\\b`);
    assert.deepEqual(
      source.filter(({ text }) => marks.test(text)).map(({ path }) => path),
      [],
    );
  });
});
