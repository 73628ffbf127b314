// What the benchmark needs to know about a system under test.
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Bench, Lab } from '../lab.js';

export interface System {
  /** Short name: column heading, `--systems` value. */
  readonly name: string;
  /** What it is, in a few words. */
  readonly title: string;
  /** Programs it needs, and the Debian packages they come in. */
  readonly programs: readonly string[];
  readonly packages: readonly string[];
  version(bench: Bench): Promise<string>;
  /** Builds a lab and connects it with this system. */
  start(bench: Bench): Promise<Lab>;
}

/** The programs that are nowhere on the PATH (or, given as a path, not there). */
export function missingPrograms(programs: readonly string[]): string[] {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const isThere = (file: string) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  };
  return programs.filter((program) => !folders.some((folder) => isThere(join(folder, program))));
}
