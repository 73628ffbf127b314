/** The sources of weft as data, for tests that judge them: files, what they import, and the compiled form of each. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface SourceFile {
  /** From the package root: `src/wire/ipv4.ts`. */
  path: string;
  text: string;
  imports: readonly Import[];
}

export interface Import {
  /** As written: `./x.js`, `node:fs`, `fastify`. */
  specifier: string;
  /** Path of the source that a relative one means, else null. */
  target: string | null;
  /** `import type`: gone after compilation. */
  isType: boolean;
  /** `import('...')` or `require('...')`: resolved when it runs, not when the file is loaded. */
  isDynamic: boolean;
  /** `export * from`. */
  isBarrel: boolean;
}

/** Directory of package.json above this file, wherever it was compiled to. */
export const PACKAGE_ROOT = rootAbove(dirname(fileURLToPath(import.meta.url)));

/** Directory of the compiled tree that this test belongs to: `dist`, or wherever tsc was told to write. */
export const COMPILED_ROOT = normalize(join(dirname(fileURLToPath(import.meta.url)), '..', '..'));

function rootAbove(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : rootAbove(dirname(directory));
}

/** All TypeScript files below these directories of the package. */
export function sourceFiles(...directories: readonly string[]): SourceFile[] {
  return directories
    .flatMap((directory) => listFiles(join(PACKAGE_ROOT, directory)))
    .filter((path) => path.endsWith('.ts'))
    .sort()
    .map((path) => {
      const text = readFileSync(path, 'utf8');
      const name = relative(PACKAGE_ROOT, path);
      return { path: name, text, imports: importsOf(name, text) };
    });
}

/** The JavaScript that was compiled from a source. */
export function compiledText(path: string): string {
  return readFileSync(join(COMPILED_ROOT, path.replace(/\.ts$/, '.js')), 'utf8');
}

function listFiles(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? listFiles(path) : [path];
  });
}

const STATEMENT = /^(import|export)\s+(type\s)?([^;'"]*?\sfrom\s*)?['"]([^'"]+)['"]/gm;
const DYNAMIC = /\b(?:import|require|createRequire\(import\.meta\.url\))\(\s*['"]([^'"]+)['"]/g;

function importsOf(path: string, text: string): Import[] {
  const code = withoutComments(text);
  const statements = [...code.matchAll(STATEMENT)].map(([, keyword, type, names = '', specifier]) => ({
    specifier: specifier!,
    target: targetOf(path, specifier!),
    isType: type !== undefined,
    isDynamic: false,
    isBarrel: keyword === 'export' && names.trimStart().startsWith('*'),
  }));
  const dynamic = [...code.matchAll(DYNAMIC)].map(([, specifier]) => ({
    specifier: specifier!,
    target: targetOf(path, specifier!),
    isType: false,
    isDynamic: true,
    isBarrel: false,
  }));
  return [...statements, ...dynamic];
}

/** Comments become blanks of the same number of lines. Good enough for code that the formatter has laid out. */
export function withoutComments(text: string): string {
  return text
    .replace(/^\s*\/\*[\s\S]*?\*\//gm, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|\s)\/\/.*$/gm, '');
}

function targetOf(path: string, specifier: string): string | null {
  return specifier.startsWith('.') ? normalize(join(dirname(path), specifier)).replace(/\.js$/, '.ts') : null;
}
