/**
 * The package `netlink`, loaded with `require`: it is CommonJS, and `import` would first scan all of its files (the parts
 * that weft does not use, too) for the names that they export, which took 70 ms of the daemon's start.
 */
import { createRequire } from 'node:module';

const netlink = createRequire(import.meta.url)('netlink') as typeof import('netlink');

export const {
  AttrStream,
  createNetlink,
  Flags,
  FlagsGet,
  FlagsNew,
  MessageType,
  Protocol,
  parseAttributes,
  parseError,
  rt,
} = netlink;
