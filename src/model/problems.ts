/** What is wrong with a request: every problem at once, each with the path of the field, a stable code and a reason. */

export interface Problem {
  /** JSON path of the field, e.g. `subnets[1]`; empty for the request as a whole. */
  path: string;
  /** Stable, kebab-case. */
  code: string;
  /** What is wrong, without the path, e.g. `10.0.0.0/33 is no CIDR: the prefix length is 0..32`. */
  message: string;
}

/** Codes of refusals; each has a status and a title in api/errors.ts. */
export type RequestErrorCode =
  | 'invalid-request'
  | 'not-found'
  | 'already-exists'
  | 'in-use'
  | 'conflict'
  | 'exhausted'
  | 'kernel-refused'
  | 'unavailable';

/** A request that was refused or undone. `message` says what and why; `remedy` what to do. */
export class RequestError extends Error {
  readonly code: RequestErrorCode;
  readonly remedy: string;
  readonly problems: Problem[];

  constructor(code: RequestErrorCode, message: string, remedy: string, problems: Problem[] = []) {
    super(message);
    this.name = 'RequestError';
    this.code = code;
    this.remedy = remedy;
    this.problems = problems;
  }
}
