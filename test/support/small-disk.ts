/** A disk that is soon full: a tmpfs of its own for a suite of tests. Needs root, without which its tests are skipped. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

/**
 * Mounts a tmpfs of `size` (as mount(8) takes it) on a directory that `place` names, which must not exist, before the tests of the
 * suite that calls this, and unmounts it after them. Returns how to get its path.
 */
export function useSmallDisk(place: () => string, size: string): () => string {
  let mounted = '';
  before(function mountSmallDisk() {
    if (process.getuid?.() !== 0) this.skip();
    const path = place();
    mkdirSync(path);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'weft-test', path], { stdio: 'pipe' });
    mounted = path;
  });
  after(() => {
    if (mounted !== '') execFileSync('umount', [mounted]);
  });
  return () => mounted;
}
