/**
 * The file that flows live in: mapped by the worker, which writes it, and by the control thread, which reads it. It stays behind when
 * the daemon ends, however it ends, and the next one goes on with it; what is from before a boot is of no use and emptied.
 *
 * Which thread claims room: only the worker, piece by piece (FlowMemory). A file system without room makes the flow table smaller, and
 * one without room for anything refuses the first flow.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorName, native } from '../native/index.js';
import { FlowMemory, flowMemoryBytes, HEADER_BYTES } from '../tables/flow-memory.js';

/** Flows that the daemon has room for. A power of two. */
export const FLOW_CAPACITY = 1 << 20;

const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';

/** For the worker: prepares the file and takes it over. Throws when it cannot be mapped. */
export function openFlowMemory(path: string): FlowMemory {
  return new FlowMemory(
    mapFlowFile(path),
    FLOW_CAPACITY,
    bootWords(),
    (offset, bytes) => native.claimFile(path, offset, bytes) === 0,
  );
}

/** The whole file as memory that all who map it share; makes it, and its directory. Throws when it cannot be mapped. */
export function mapFlowFile(path: string): ArrayBuffer {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  } catch (error) {
    throw unusable(path, (error as NodeJS.ErrnoException).code ?? 'no directory');
  }
  const mapped = native.mapFile(path, flowMemoryBytes(FLOW_CAPACITY));
  if (typeof mapped === 'number') throw unusable(path, errorName(mapped));
  const claimed = native.claimFile(path, 0, HEADER_BYTES);
  if (claimed < 0) throw unusable(path, errorName(claimed));
  return mapped;
}

function unusable(path: string, why: string): Error {
  return new Error(
    `cannot map ${path}, the memory of the flow table: ${why} ` +
      '(the run directory must be on a file system that this user can write and that has room, such as tmpfs)',
  );
}

/** What is different after every boot. */
function bootWords(): Int32Array {
  const digits = readFileSync(BOOT_ID_FILE, 'latin1').replaceAll('-', '').trim();
  return Int32Array.from({ length: 4 }, (_, i) => Number.parseInt(digits.slice(i * 8, i * 8 + 8), 16) | 0);
}
