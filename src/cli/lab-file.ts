/** Reads a lab file as the API takes it: YAML (or JSON, which is YAML) to a plain object, with absolute paths. */
import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { printable } from '../lib/printable.js';
import { CliError } from './failure.js';
import type { CliWorld } from './session.js';

/** More than the API takes in one request; a file that is larger is no lab file. */
const LARGEST_FILE = 4 * 1024 * 1024;

/** `file` may be `-` for stdin. Relative paths in the file start where the file is. */
export async function readLabFile(world: CliWorld, file: string): Promise<unknown> {
  const what = `cannot read the lab file ${file}`;
  const path = resolve(world.cwd, file);
  const source = file === '-' ? await text(world.stdin) : readSource(path, what);
  if (source.length > LARGEST_FILE) throw new CliError(what, 'it is larger than 4 MiB', 'is it a lab file?');
  const lab = await parseYaml(source, what);
  if (typeof lab !== 'object' || lab === null || Array.isArray(lab)) {
    throw new CliError(what, 'it holds no mapping', 'it begins with `weft: 1`');
  }
  camelCaseRoutes(lab as Record<string, unknown>);
  absoluteCaptures(lab as Record<string, unknown>, file === '-' ? world.cwd : dirname(path));
  return lab;
}

function readSource(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CliError(what, code === 'ENOENT' ? 'there is no such file' : (error as Error).message, 'check -f');
  }
}

async function parseYaml(source: string, what: string): Promise<unknown> {
  // Imported here: no other command needs the YAML parser, which takes 50 ms to load.
  const { parseDocument } = (await import('yaml')).default;
  const document = parseDocument(source, { prettyErrors: true });
  const [problem] = document.errors;
  if (problem !== undefined) {
    const { line, col } = problem.linePos?.[0] ?? { line: 0, col: 0 };
    const reason = printable(problem.message.split('\n', 1)[0]!.replace(/ at line .*$/, ''), 200);
    throw new CliError(what, `line ${line}, column ${col}: ${reason}`, 'correct the YAML');
  }
  try {
    const lab = document.toJS({ maxAliasCount: 100 });
    // Throws where an alias stands inside of what it stands for.
    JSON.stringify(lab);
    return lab;
  } catch (error) {
    const reason =
      error instanceof TypeError ? 'an alias stands inside of what it stands for' : (error as Error).message;
    throw new CliError(what, reason, 'correct the YAML');
  }
}

/** `routes-to`, as the option is called, is as good as `routesTo`. */
function camelCaseRoutes(lab: Record<string, unknown>): void {
  if (typeof lab.networks !== 'object' || lab.networks === null) return;
  for (const network of Object.values(lab.networks) as (Record<string, unknown> | null)[]) {
    if (typeof network !== 'object' || network === null || !('routes-to' in network) || 'routesTo' in network) continue;
    network.routesTo = network['routes-to'];
    delete network['routes-to'];
  }
}

/** The daemon has another working directory: files of captures become absolute. Anything odd is left for the API to refuse. */
function absoluteCaptures(lab: Record<string, unknown>, directory: string): void {
  if (typeof lab.captures !== 'object' || lab.captures === null) return;
  for (const capture of Object.values(lab.captures)) {
    if (typeof capture !== 'object' || capture === null) continue;
    const { file } = capture as { file?: unknown };
    if (typeof file === 'string' && file !== '' && !isAbsolute(file)) {
      (capture as { file: string }).file = resolve(directory, file);
    }
  }
}
