/** Writing to stdout or a pipe no faster than its reader reads. */
import type { Writable } from 'node:stream';

/** Resolves when more can be written: true, or false when nobody reads any more. */
export async function writeAndWait(output: Writable, data: string | Uint8Array): Promise<boolean> {
  if (output.destroyed) return false;
  if (!output.write(data)) {
    await new Promise<void>((resolve) => {
      const settle = () => {
        output.off('drain', settle);
        output.off('close', settle);
        resolve();
      };
      output.on('drain', settle);
      output.on('close', settle);
    });
  }
  return !output.destroyed;
}
