/** One line of `weft doctor`. */

export interface Finding {
  /** Short name of what was checked, unique in the list: `tun`, `offload-tso4`. */
  check: string;
  /** `fail`: weft cannot work. `warn`: it works, with the named cost, or it could not be checked. */
  status: 'ok' | 'warn' | 'fail';
  /** What was found. */
  finding: string;
  /** What that costs; empty when nothing. */
  cost: string;
  /** What to do; empty when nothing is to be done. */
  remedy: string;
}

export function ok(check: string, finding: string): Finding {
  return { check, status: 'ok', finding, cost: '', remedy: '' };
}

export function warn(check: string, finding: string, cost: string, remedy: string): Finding {
  return { check, status: 'warn', finding, cost, remedy };
}

export function fail(check: string, finding: string, cost: string, remedy: string): Finding {
  return { check, status: 'fail', finding, cost, remedy };
}
