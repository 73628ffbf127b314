/**
 * `weft doctor`: is this machine fit for weft, what is missing, what does that cost, and what to do about it. Data
 * only; the CLI prints it. Needs no running daemon and leaves nothing behind. Without the rights of root it reports
 * what it can see and says what it could not check.
 */
import { checkKernelFeatures } from './doctor-features.js';
import { type Finding, warn } from './doctor-finding.js';
import { checkLeftovers } from './doctor-leftovers.js';
import { checkMachine, hasNetworkRights } from './doctor-machine.js';

export interface DoctorOptions {
  /** Run directory of the daemon whose leftovers are looked for. */
  runDir: string;
  /** Directories of programs, as in PATH. */
  searchPath: string;
  /** Endpoints that are to be possible at once; each needs file descriptors and memory. */
  endpoints?: number;
}

/** Never rejects: what cannot be checked is a finding too. */
export async function runDoctor(options: DoctorOptions): Promise<Finding[]> {
  const { runDir, searchPath, endpoints = 1000 } = options;
  const findings = checkMachine({ searchPath, endpoints });
  const isPrivileged = hasNetworkRights();
  findings.push(...(await guard('kernel-features', () => checkKernelFeatures(isPrivileged))));
  findings.push(...(await guard('leftovers', () => checkLeftovers(runDir, isPrivileged))));
  return findings;
}

async function guard(check: string, run: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await run();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [warn(check, `could not be checked: ${reason}`, 'unknown', 'run `weft doctor` as root')];
  }
}
