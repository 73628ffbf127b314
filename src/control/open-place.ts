/** Opening a namespace that a request names, with words for people when that is none. */
import { RequestError } from '../model/problems.js';
import { type Kernel, KernelError, type Namespace } from './kernel/kernel.js';

/** `field`: of the request that has the path. Rejects with `RequestError` unless there is a network namespace. */
export async function openPlace(kernel: Kernel, path: string, field: string): Promise<Namespace> {
  try {
    return await kernel.openNamespace(path);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const isMissing = error.errno === 'ENOENT' || error.errno === 'ESRCH';
    const message = error.errno === 'EINVAL' ? `${path} is no network namespace` : `there is no ${path}`;
    if (!isMissing && error.errno !== 'EINVAL') throw error;
    const problems = [{ path: field, code: 'no-namespace', message }];
    throw new RequestError('invalid-request', message, 'name a network namespace that exists', problems);
  }
}

/** For messages. The daemon's own namespace has a path that says something else to everybody who reads it. */
export function placeOf({ path }: Pick<Namespace, 'path'>): string {
  return path === '/proc/self/ns/net' ? 'the namespace of the daemon' : path;
}
