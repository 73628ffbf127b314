/** A `DatapathHost` without a worker: remembers what it was told, fails where a test tells it to, notices misuse. */
import { createCaptureMemory } from '../../src/capture/capture-layout.js';
import type { DatapathHost } from '../../src/control/worker/datapath-host.js';
import { Counters, createCounterMemory, TOTAL, totalAt } from '../../src/datapath/counters.js';
import { BINDING_INTS, emptyProgram, MAX_REMOTES, type Program, type WorkerFault } from '../../src/datapath/program.js';
import { FrameVector } from '../../src/frames/frame-vector.js';
import { BURST_BYTES, BURST_FRAMES, createSlab } from '../../src/frames/slab.js';
import { createInjectMemory, InjectRingReader } from '../../src/ports/inject-ring.js';
import { createMacMemory } from '../../src/tables/mac-table.js';
import { createRemoteMemory } from '../../src/tables/remote-table.js';
import { readVnet, type TestFrame, VNET_BYTES } from './frame-builders.js';

export interface InjectedFrame extends TestFrame {
  port: number;
}

export class FakeDatapath implements DatapathHost {
  readonly tables = {
    counters: createCounterMemory(),
    macs: createMacMemory(),
    remotes: createRemoteMemory(MAX_REMOTES),
    capture: createCaptureMemory(1 << 18),
    inject: createInjectMemory(),
    punts: createCaptureMemory(1 << 18),
    outbound: createInjectMemory(1 << 18),
  };
  /** No worker has prepared it: no flows. */
  flows: Int32Array = new Int32Array(64);
  /** What the worker does with flows that are to be ended (flow-lab.ts). */
  onDeleteFlows: (flows: Int32Array) => void = () => {};
  readonly state = 'running';
  appliedVersion = 0;
  program: Program = emptyProgram();
  /** File descriptor by port. */
  readonly attached = new Map<number, number>();
  readonly flushed: number[] = [];
  /** Rows of BINDING_INTS, as they came. */
  readonly bindings: number[][] = [];
  readonly injectedFaults: WorkerFault[] = [];
  /** Mistakes of the code under test. */
  readonly faults: string[] = [];
  /** What was injected for the ports of the present program. */
  readonly injected: InjectedFrame[] = [];
  /** Whether injected frames are left where they are, as by a worker that hangs. */
  isDeaf = false;
  publishCount = 0;
  isStopped = false;
  private readonly counters = new Counters(this.tables.counters);
  private readonly slab = createSlab();
  private readonly frames = new FrameVector(this.slab);
  private injector: InjectRingReader | null = null;
  private callsUntilFailure = Number.POSITIVE_INFINITY;
  private faultListener: (port: number, errno: number) => void = () => {};
  private restartListener: (reason: string) => void = () => {};

  /** The n-th request from now on is refused; 1 is the next one. */
  failAt(n: number): void {
    this.callsUntilFailure = n;
  }

  /** Whether the failure of `failAt` has happened. */
  get hasFailed(): boolean {
    return this.callsUntilFailure <= 0;
  }

  stopFailing(): void {
    this.callsUntilFailure = Number.POSITIVE_INFINITY;
  }

  async attachPort(port: number, fd: number): Promise<void> {
    await this.call();
    if (this.attached.has(port)) this.faults.push(`port ${port} attached twice`);
    this.attached.set(port, fd);
  }

  /** Never refused: a worker that does not know the port does not poll it. */
  async detachPort(port: number): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.attached.delete(port);
  }

  async publish(program: Program): Promise<void> {
    this.publishCount++;
    await this.call();
    if (program.version <= this.appliedVersion) this.faults.push(`program ${program.version} is older than the last`);
    this.program = program;
    this.appliedVersion = program.version;
  }

  async flushMacs(network: number): Promise<void> {
    await this.call();
    this.flushed.push(network);
  }

  async setBindings(rows: Int32Array): Promise<void> {
    await this.call();
    for (let at = 0; at < rows.length; at += BINDING_INTS)
      this.bindings.push([...rows.subarray(at, at + BINDING_INTS)]);
  }

  async deleteFlows(flows: Int32Array): Promise<void> {
    await this.call();
    this.onDeleteFlows(flows);
  }

  injectFault(how: WorkerFault): void {
    this.injectedFaults.push(how);
  }

  /** No longer deaf; as the worker, which turns by itself, it takes what has come meanwhile. */
  hear(): void {
    this.isDeaf = false;
    this.wake();
  }

  /** As the worker does when it is woken. */
  wake(): void {
    if (this.isDeaf) return;
    this.counters.values[totalAt(TOTAL.turns)]!++;
    const { program, slab, frames } = this;
    this.injector ??= new InjectRingReader(this.tables.inject, slab, frames);
    for (;;) {
      const count = this.injector.take(program.portCount, program.portSerial, BURST_FRAMES, BURST_BYTES);
      if (count === 0) return;
      for (let row = 0; row < count; row++) {
        const at = frames.start[row]!;
        const bytes = slab.bytes.slice(at, at + frames.length[row]!);
        const vnet = readVnet(slab.bytes.subarray(at - VNET_BYTES, at));
        this.injected.push({ port: frames.ingressPort[row]!, bytes, vnet });
      }
    }
  }

  onFault(listener: (port: number, errno: number) => void): void {
    this.faultListener = listener;
  }

  onRestart(listener: (reason: string) => void): void {
    this.restartListener = listener;
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.attached.clear();
  }

  /** As the worker does: the port is out of service by the time that anybody hears of it. */
  reportFault(port: number, errno: number): void {
    this.attached.delete(port);
    this.faultListener(port, errno);
  }

  reportRestart(reason: string): void {
    this.restartListener(reason);
  }

  private async call(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (--this.callsUntilFailure === 0) throw new Error('the datapath refuses, as the test wants it');
  }
}
