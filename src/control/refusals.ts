/** Small helpers to refuse requests with a message that a person can act on. */
import type { Parsed } from '../model/network-request.js';
import { RequestError } from '../model/problems.js';

/** What was read from a request, or a refusal that lists all its problems. */
export function accepted<T>(parsed: Parsed<T>): T {
  if (parsed.ok) return parsed.value;
  const texts = parsed.problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  const problems = parsed.problems;
  throw new RequestError('invalid-request', texts.join('; '), 'correct the request', problems);
}

/** `2 endpoints (a, b)`, with at most five of the names. */
export function listNames(what: string, names: ReadonlySet<string>): string {
  const sorted = [...names].sort();
  const shown = sorted.length > 5 ? [...sorted.slice(0, 5), '...'] : sorted;
  return `${sorted.length} ${what}${sorted.length === 1 ? '' : 's'} (${shown.join(', ')})`;
}
