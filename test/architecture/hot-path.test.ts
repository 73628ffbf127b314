/**
 * The hot path allocates nothing and calls nothing slow. This test reads the compiled form of wire, frames, tables and
 * datapath and names every construct that costs more than a few nanoseconds per frame.
 *
 * Exempt: constructors, code that runs once when a module is loaded, functions whose doc comment says `@coldPath why`, and
 * files whose opening comment does.
 */
import { strict as assert } from 'node:assert';
import { COLD_MARK, findHotAllocations } from '../support/hot-allocations.js';
import { compiledText, sourceFiles } from '../support/source-tree.js';

const HOT = /^src\/(wire|frames|tables|datapath)\/|^src\/capture\/capture-ring\.ts$/;
describe('hot path', () => {
  const files = sourceFiles('src').filter(({ path }) => HOT.test(path));

  it('has files in every layer that it is made of', () => {
    const layers = new Set(files.map(({ path }) => path.split('/')[1]));
    assert.deepEqual([...layers].sort(), ['capture', 'datapath', 'frames', 'tables', 'wire']);
  });

  for (const { path } of files) {
    it(`allocates nothing in ${path}`, () => {
      const findings = findHotAllocations(compiledText(path));
      const lines = findings.map(({ where, what }) => `${where}: ${what}`);
      assert.deepEqual(lines, [], `move it out of the hot path, or mark the function "${COLD_MARK} why"`);
    });
  }

  it('would be caught allocating, whatever the form', () => {
    const bad: Record<string, string> = {
      'function f(a) { return { a }; }': 'an object literal',
      'export function f(a) { return [a]; }': 'an array literal',
      'function f(a) { return new DataView(a); }': 'new',
      'function f(a) { return () => a; }': 'a closure',
      'class C { m(a) { return `${a}`; } }': 'template text',
      'class C { m = (a) => a.map(String); }': '.map()',
      'const f = (a) => a.subarray(1);': '.subarray()',
      'function f(a) { for (const x of a) g(x); }': 'for..of',
      'function f(a) { const [b] = a; return b; }': 'array destructuring (it makes an iterator)',
      'function f(...a) { return a; }': 'rest parameters',
      'function f(a) { return 1n + a; }': 'a BigInt',
      'function f(a) { try { g(a); } catch { } }': 'try',
      'async function f(a) { }': 'an async function or generator',
      '/** Fast. */ export function f(a) { return [a]; }': 'an array literal',
    };
    for (const [code, what] of Object.entries(bad)) {
      assert.ok(
        findHotAllocations(code).some((finding) => finding.what === what),
        `${code} has ${what}`,
      );
    }
  });

  it('exempts what runs once', () => {
    const good = [
      'const TABLE = { a: [1, 2] }; export const N = TABLE.a.map((x) => x + 1);',
      'class C { constructor() { this.list = [() => 1]; } }',
      'class C { list = new Int32Array(4); }',
      '/** Prints. @coldPath text for people */\nimport a from "a";\nexport function f() { return [a]; }',
      '/** Makes one. @coldPath once per datapath */ export function f() { return [new C()]; }',
      'class C { /** @coldPath text */ m() { return `x`; } }',
      'function f(a) { const { b, c } = a; return b + c; }',
    ];
    for (const code of good) assert.deepEqual(findHotAllocations(code), [], code);
  });
});
