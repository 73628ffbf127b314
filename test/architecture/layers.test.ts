/**
 * Who may import whom. The layers, from the bottom:
 *
 *   lib < wire < frames < tables < datapath     pure: no node:*, no packages, no clock, no randomness, no console
 *   native    ports    capture                  the kernel, and what leaves for files
 *   model < compile < control < api             what the operator asked for
 *   cli                                         a client of the API
 *   daemon                                      wires everything together; nobody imports it
 *   scripts                                     rigs around all of it: use what they need, test/support included
 *
 * A new file needs no entry here; a new kind of dependency does, and that is the moment to think about it.
 */
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PACKAGE_ROOT, type SourceFile, sourceFiles, withoutComments } from '../support/source-tree.js';

/** By layer: the layers, folders or files of src that it may import, beside itself. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  lib: [],
  wire: ['lib'],
  frames: ['lib', 'wire'],
  tables: ['lib', 'wire', 'frames'],
  datapath: ['lib', 'wire', 'frames', 'tables', 'ports/port'],
  native: ['lib'],
  ports: ['lib', 'wire', 'frames', 'tables', 'datapath', 'native'],
  capture: ['lib', 'wire', 'frames', 'datapath', 'native'],
  model: ['lib', 'wire/addresses'],
  compile: ['lib', 'wire/addresses', 'model', 'tables', 'datapath/program'],
  // Frames: a trace builds a datapath of its own.
  control: ['lib', 'wire', 'frames', 'model', 'compile', 'capture', 'native', 'ports', 'datapath', 'tables'],
  api: ['lib', 'model', 'control/controller'],
  cli: [
    'lib',
    'wire/describe',
    'native',
    'capture/capture-frames',
    'capture/file-frame',
    'api/schema',
    'api/errors',
    'api/network-types',
    'api/flow-states',
  ],
};

/** Layers that are the same on every machine and in every run. */
const PURE = ['lib', 'wire', 'frames', 'tables', 'datapath'];

/** Packages that a pure layer may import, by file. */
const PURE_PACKAGES: Record<string, readonly string[]> = { 'src/wire/addresses.ts': ['ipaddr.js'] };

const source = sourceFiles('src');
const daemon = sourceFiles('daemon');

function layerOf(path: string): string {
  return path.split('/')[1]!;
}

function nameIn(path: string): string {
  return path.replace(/^src\//, '').replace(/\.ts$/, '');
}

function broken(files: readonly SourceFile[], judge: (file: SourceFile) => readonly string[]): string[] {
  return files.flatMap((file) => judge(file).map((what) => `${file.path}: ${what}`));
}

/** Matches of `pattern` in the code of a file, comments left out. */
function uses(file: SourceFile, pattern: RegExp): string[] {
  return [...withoutComments(file.text).matchAll(pattern)].map(([text]) => text);
}

describe('layers', () => {
  it('are all known', () => {
    assert.deepEqual(
      [...new Set(source.map(({ path }) => layerOf(path)))].filter((layer) => !(layer in MAY_IMPORT)),
      [],
    );
    for (const layer of PURE)
      assert.ok(
        source.some(({ path }) => layerOf(path) === layer),
        `${layer} has files`,
      );
  });

  it('import only what is below them', () => {
    const problems = broken(source, ({ path, imports }) => {
      const layer = layerOf(path);
      const allowed = MAY_IMPORT[layer] ?? [];
      return imports
        .flatMap(({ target }) => (target?.startsWith('src/') ? [nameIn(target)] : []))
        .filter((name) => !name.startsWith(`${layer}/`))
        .filter((name) => !allowed.some((entry) => name === entry || name.startsWith(`${entry}/`)))
        .map((name) => `imports ${name}, but ${layer} may import only: ${allowed.join(', ') || 'nothing'}`);
    });
    assert.deepEqual(problems, []);
  });

  it('never import daemon, test or scripts', () => {
    const problems = broken([...source, ...daemon], ({ path, imports }) =>
      imports
        .filter(({ target }) => target !== null && /^(daemon|test|scripts)\//.test(target))
        .filter(({ target }) => !(path.startsWith('daemon/') && target!.startsWith('daemon/')))
        .map(({ target }) => `imports ${target}`),
    );
    assert.deepEqual(problems, []);
  });

  it('that are pure use no platform: no node:*, no packages', () => {
    const pure = source.filter(({ path }) => PURE.includes(layerOf(path)));
    const problems = broken(pure, ({ path, imports }) =>
      imports
        .filter(({ target, specifier }) => target === null && !PURE_PACKAGES[path]?.includes(specifier))
        .map(({ specifier }) => `imports ${specifier}; what it needs from outside has to be passed in`),
    );
    assert.deepEqual(problems, []);
  });

  it('that are pure have no clock, no randomness, no timers, no process and no console', () => {
    const pure = source.filter(({ path }) => PURE.includes(layerOf(path)));
    const banned =
      /\b(Date\b|Math\.random|performance\.|crypto\.|process\.|setTimeout|setInterval|setImmediate|console\.)|\bBuffer\b/g;
    const problems = broken(pure, (file) => uses(file, banned).map((what) => `uses ${what}`));
    assert.deepEqual(problems, []);
  });

  it('leave arguments, environment and signals to daemon', () => {
    const banned = /\bprocess\.(env|argv|on|once|addListener)\b/g;
    assert.deepEqual(
      broken(source, (file) => uses(file, banned).map((what) => `uses ${what}; daemon/ reads it and passes it on`)),
      [],
    );
  });

  it('print nothing: the daemon logs, the command line renders', () => {
    assert.deepEqual(
      broken([...source, ...daemon], (file) => uses(file, /\bconsole\./g)),
      [],
    );
  });

  it('use only packages that package.json names', () => {
    const manifest = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8'));
    const known = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });
    const problems = broken([...source, ...daemon], ({ imports }) =>
      imports
        .filter(({ target, specifier }) => target === null && !specifier.startsWith('node:'))
        .filter(({ specifier }) => !known.some((name) => specifier === name || specifier.startsWith(`${name}/`)))
        .map(({ specifier }) => `imports ${specifier}, which is no dependency of weft`),
    );
    assert.deepEqual(problems, []);
  });

  it('have no cycles of imports', () => {
    const files = new Map([...source, ...daemon].map((file) => [file.path, file]));
    const state = new Map<string, 'open' | 'done'>();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      if (state.get(path) === 'open') cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
      if (state.has(path)) return;
      state.set(path, 'open');
      for (const { target, isDynamic } of files.get(path)?.imports ?? []) {
        if (!isDynamic && target !== null && files.has(target)) visit(target, [...trail, path]);
      }
      state.set(path, 'done');
    };
    for (const path of files.keys()) visit(path, []);
    assert.deepEqual(cycles, []);
  });

  it('import files that exist', () => {
    const paths = new Set([...source, ...daemon].map(({ path }) => path));
    const problems = broken([...source, ...daemon], ({ imports }) =>
      imports.filter(({ target }) => target !== null && !paths.has(target)).map(({ target }) => `imports ${target}`),
    );
    assert.deepEqual(problems, []);
  });

  it('have no barrels: a reader finds a name where it is made', () => {
    const problems = broken(source, ({ path, imports }) => [
      ...(path.endsWith('/index.ts') && path !== 'src/native/index.ts' ? ['is an index file'] : []),
      ...imports.filter(({ isBarrel }) => isBarrel).map(({ specifier }) => `exports everything of ${specifier}`),
    ]);
    assert.deepEqual(problems, []);
  });

  it('keep stages apart: a stage never imports a stage', () => {
    const isStage = (path: string): boolean => path.startsWith('src/datapath/stages/');
    const stages = source.filter(({ path }) => isStage(path));
    assert.ok(stages.length >= 4);
    const problems = broken(stages, ({ imports }) =>
      imports.filter(({ target }) => target !== null && isStage(target)).map(({ target }) => `imports ${target}`),
    );
    assert.deepEqual(problems, []);
  });

  it('know one thing of ports in the datapath: the interface', () => {
    const problems = broken(
      source.filter(({ path }) => layerOf(path) === 'datapath'),
      ({ imports }) =>
        imports
          .filter(({ target }) => target?.startsWith('src/ports/') && target !== 'src/ports/port.ts')
          .map(({ target }) => `imports ${target}`),
    );
    assert.deepEqual(problems, []);
  });
});
