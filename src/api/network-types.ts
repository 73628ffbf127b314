/** The network types of this version, and what to answer to those of later ones. No schema library here: the CLI starts faster. */

import { printable } from '../lib/printable.js';

export const NETWORK_TYPES = ['private', 'internal', 'nat', 'overlay'] as const;

/** Types that weft will have; asking for one is no typing error. */
const LATER_TYPES: readonly string[] = ['transparent', 'l2bridge', 'l2tunnel', 'ics'];

/** Fields (as in the API) that belong to those types. */
export const LATER_FIELDS: readonly string[] = ['nic'];

export function isSupportedType(type: string): boolean {
  return (NETWORK_TYPES as readonly string[]).includes(type);
}

/** `transparent networks are not in this version; supported: private, internal, ...`. */
export function unsupportedType(type: string): string {
  const supported = `supported: ${NETWORK_TYPES.join(', ')}`;
  return LATER_TYPES.includes(type)
    ? `${type} networks are not in this version; ${supported}`
    : `there is no network type "${printable(type, 40)}"; ${supported}`;
}
