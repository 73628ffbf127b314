/**
 * Running a program as a user who may nothing, for tests that run as root.
 *
 * The checkout and Node.js may lie where only root can go (below /root), so that user gets a view of the two of its own, in a
 * mount namespace that ends with the program. Everything else is as on the machine.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const NOBODY = 65534;
const SCRIPT = `
  mount -t tmpfs -o mode=755 none /mnt && mkdir /mnt/weft && touch /mnt/node &&
    mount --bind "$1" /mnt/weft && mount --bind "$2" /mnt/node && group=$3 && shift 3 &&
    exec setpriv --reuid=${NOBODY} --regid="$group" --clear-groups -- "$@"
`;

/** The same command as the user `nobody`, in the group `gid` and no other. Words that are paths of the checkout still work. */
export function asNobody(command: readonly string[], gid = NOBODY): [string, ...string[]] {
  const root = packageRoot();
  const words = command.map((word) => {
    if (word === process.execPath) return '/mnt/node';
    return word.startsWith(`${root}/`) ? join('/mnt/weft', word.slice(root.length)) : word;
  });
  const shell = ['sh', '-c', SCRIPT, 'sh', root, process.execPath, String(gid), ...words];
  return ['unshare', '--mount', '--propagation', 'private', ...shell];
}

function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory);
  return directory;
}
