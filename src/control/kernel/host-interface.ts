/** What the host vNIC of a network is called in the daemon's own namespace. */
import { createHash } from 'node:crypto';

const PREFIX = 'weft-';
/** IFNAMSIZ less the terminating zero. */
const LONGEST = 15;

/**
 * `weft-NETWORK` where that fits into the 15 bytes of an interface name, else its beginning and a hash. `instance` is given
 * when the plain name is taken, e.g. by another weft on the same machine: then the name has a hash of both in it.
 */
export function hostIfname(network: string, instance = ''): string {
  const plain = PREFIX + network;
  if (instance === '' && plain.length <= LONGEST) return plain;
  const hash = createHash('sha256').update(`${instance}\0${network}`).digest('hex').slice(0, 5);
  const kept = network.slice(0, LONGEST - PREFIX.length - hash.length);
  return `${PREFIX}${kept}${hash}`;
}
