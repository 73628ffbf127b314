/**
 * Doing something inside another network namespace. setns(2) moves the calling thread alone, so a visit must be
 * synchronous from beginning to end: anything asynchronous would run for somebody else's requests in the wrong
 * namespace, and node:fs promises run in libuv's threads, which never move.
 */
import { native } from '../../native/index.js';
import { check } from './kernel-error.js';

const OWN_NAMESPACE = '/proc/thread-self/ns/net';

/** Runs `work`, which must not be async, in the namespace behind `fd`. Throws `KernelError` or what `work` throws. */
export function insideNamespace<T>(fd: number, work: () => T): T {
  const home = check('open', OWN_NAMESPACE, native.openNamespace(OWN_NAMESPACE));
  try {
    check('setns', `namespace ${fd}`, native.enterNamespace(fd));
    try {
      return work();
    } finally {
      // Going on in a foreign namespace would configure the wrong network: nothing is better than that.
      if (native.enterNamespace(home) < 0) process.abort();
    }
  } finally {
    native.closeFd(home);
  }
}
