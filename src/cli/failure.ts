/** A command that cannot be carried out: one line, `error: WHAT (WHY; what to do)`, and an exit status. */
import { printable } from '../lib/printable.js';

/** Ordinary failures. */
export const EXIT_FAILURE = 1;
/** The command line itself is wrong. */
export const EXIT_USAGE = 2;

export class CliError extends Error {
  readonly exitStatus: number;
  /** Codes of the problems that the daemon named, for commands that know another way. */
  problemCodes: readonly string[] = [];

  /** `why` and `remedy` may be empty. */
  constructor(what: string, why: string, remedy: string, exitStatus: number = EXIT_FAILURE) {
    super(errorLine(what, why, remedy));
    this.name = 'CliError';
    this.exitStatus = exitStatus;
  }
}

/** Without the line end. Whatever the parts hold, it is one line. */
export function errorLine(what: string, why: string, remedy: string): string {
  const inside = [why, remedy].filter((part) => part !== '').join('; ');
  return printable(inside === '' ? `error: ${what}` : `error: ${what} (${inside})`);
}
