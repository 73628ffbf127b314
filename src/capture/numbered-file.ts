/**
 * Names for what was captured earlier into a file: FILE is always the newest, earlier ones are `night.1.pcapng`,
 * `night.2.pcapng`, ... of `night.pcapng`, in the order of time. A number is never given twice, so nothing is overwritten.
 */
import { lstat, readdir, rename } from 'node:fs/promises';
import { format, parse } from 'node:path';

/** Gives the file the next number that is free, and returns its new path. Rejects as the file system does. */
export async function putAside(path: string): Promise<string> {
  const { dir, name, ext } = parse(path);
  for (let number = (await highestNumber(path)) + 1; ; number++) {
    const numbered = format({ dir, name: `${name}.${number}`, ext });
    if (await isThere(numbered)) continue;
    await rename(path, numbered);
    return numbered;
  }
}

async function highestNumber(path: string): Promise<number> {
  const { dir, name, ext } = parse(path);
  let highest = 0;
  for (const entry of await readdir(dir)) {
    if (!entry.startsWith(`${name}.`) || !entry.endsWith(ext)) continue;
    const digits = entry.slice(name.length + 1, entry.length - ext.length);
    if (/^\d{1,9}$/.test(digits)) highest = Math.max(highest, Number(digits));
  }
  return highest;
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => null)) !== null;
}
