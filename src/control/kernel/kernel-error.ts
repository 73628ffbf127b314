/**
 * From a negative errno (native addon, rtnetlink) or an exception of node:fs to a `KernelError` that names the call,
 * its subject, the symbol and what it means here.
 */
import { getSystemErrorMap } from 'node:util';
import { errorName } from '../../native/index.js';
import { KernelError } from './kernel.js';

/** What an errno means where weft meets it; the system's own sentence is used for all others. */
const MEANINGS: Record<string, string> = {
  EADDRNOTAVAIL: 'no such address on this interface',
  EBADFD: 'the interface behind it is gone',
  EBUSY: 'another process has it open',
  EEXIST: 'there is one already',
  EHOSTUNREACH: 'the gateway is not on a connected network',
  ENETUNREACH: 'the gateway is not on a connected network',
  ENODEV: 'no such interface',
  ENOENT: 'there is none',
  EPERM: 'not permitted; weft needs root, or CAP_NET_ADMIN and CAP_SYS_ADMIN',
  ESRCH: 'there is none',
};

/** `result`: errno, negative or positive. */
export function kernelError(call: string, subject: string, result: number): KernelError {
  const errno = errorName(result);
  const sentence = getSystemErrorMap().get(-Math.abs(result))?.[1];
  return new KernelError(call, subject, errno, MEANINGS[errno] ?? sentence ?? 'refused by the kernel');
}

/** The result of a native call, or a `KernelError` when it is negative. */
export function check(call: string, subject: string, result: number): number {
  if (result < 0) throw kernelError(call, subject, result);
  return result;
}

/** For exceptions of node:fs; anything else is a bug and returned as it is. */
export function fileError(call: string, subject: string, error: unknown): Error {
  const { errno } = error as NodeJS.ErrnoException;
  if (typeof errno === 'number') return kernelError(call, subject, errno);
  return error instanceof Error ? error : new Error(String(error));
}

/** Whether a failure is one of these symbols, e.g. `isErrno(error, 'EEXIST')`. */
export function isErrno(error: unknown, ...names: string[]): boolean {
  if (error instanceof KernelError) return names.includes(error.errno);
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === 'string' && names.includes(code);
}
