/**
 * What the control thread asks of the datapath worker. datapath-client.ts is the real one (a worker thread that is
 * restarted, with its ports and program, when it dies).
 */
import type { Program, SharedTables, WorkerFault } from '../../datapath/program.js';

export interface DatapathHost {
  readonly tables: SharedTables;
  readonly state: 'running' | 'restarting';
  /** Version of the program that the worker runs now. */
  readonly appliedVersion: number;
  /** Hands a file descriptor to the worker; publish a program with this row before or after. Resolves when it is polled. */
  attachPort(port: number, fd: number, portKind: number, headerBytes: number): Promise<void>;
  /** Resolves when the worker does not touch the file descriptor any more; only then may it be closed. */
  detachPort(port: number): Promise<void>;
  /** Resolves when the worker runs this program (or a newer one). */
  publish(program: Program): Promise<void>;
  /** Forgets what was learned on one network, or on all with -1. */
  flushMacs(network: number): Promise<void>;
  /**
   * Changes to the stations behind other VTEPs: rows of BINDING_INTS (datapath/program.ts), for networks that the published program
   * has. Resolves when they hold. A worker that is replaced gets all of them again; those of a network are forgotten when its row goes
   * to another (networkKey).
   */
  setBindings(rows: Int32Array): Promise<void>;
  /** The flow table (tables/flow-listing.ts reads it), in memory that the worker writes. */
  readonly flows: Int32Array;
  /** Ends flows: pairs of row and generation, as listed. Resolves when it is done. */
  deleteFlows(flows: Int32Array): Promise<void>;
  /** Makes the worker fail, to try out that it is replaced. */
  injectFault(how: WorkerFault): void;
  /** Ends the sleep of the worker: there are frames in `tables.inject`. */
  wake(): void;
  /** A port that the worker had to take out of service (errno as a positive number). */
  onFault(listener: (port: number, errno: number) => void): void;
  /** Called after the worker died and runs again. */
  onRestart(listener: (reason: string) => void): void;
  stop(): Promise<void>;
}
