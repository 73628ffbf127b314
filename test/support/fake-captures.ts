/** A `CaptureService` that writes nothing: for tests of what the controller does with captures. */
import type { CapturePort, CaptureService } from '../../src/control/captures/capture-service.js';
import type { CaptureRequest, CaptureStream, CaptureView } from '../../src/control/controller/captures.js';

export class FakeCaptures implements CaptureService {
  ports: readonly CapturePort[] = [];
  isClosed = false;
  private readonly captures = new Map<string, CaptureView>();
  private changeListener: () => void = () => {};
  private endListener: (view: CaptureView) => void = () => {};

  list(): CaptureView[] {
    return [...this.captures.values()];
  }

  find(name: string): CaptureView | null {
    return this.captures.get(name) ?? null;
  }

  /** As a resolver does that takes its time. */
  filterDelay: Promise<void> = Promise.resolve();

  prepareFilter(): Promise<void> {
    return this.filterDelay;
  }

  async start(request: CaptureRequest): Promise<CaptureView> {
    const { name = 'capture-1', network = null, endpoint = null, file = null } = request;
    const { format = 'pcapng', filter = '', snaplen = 262144, drops = false } = request;
    const { rotateSize = null, rotateFiles = null } = request;
    const underlay = request.underlay ?? false;
    const all = network === null && endpoint === null && !underlay;
    const of = { name, network, endpoint, all, underlay, file, format, filter, snaplen, drops };
    const view: CaptureView = {
      ...of,
      ...{ rotateSize, rotateFiles, files: file === null ? [] : [file] },
      state: 'running',
      reason: null,
      frames: 0,
      bytes: 0,
      lost: 0,
      startedAt: new Date(0).toISOString(),
    };
    this.captures.set(name, view);
    this.changeListener();
    return view;
  }

  async stream(request: CaptureRequest): Promise<CaptureStream> {
    const view = await this.start(request);
    return { view, chunks: (async function* () {})(), stop: () => void this.stop(view.name) };
  }

  async stop(name: string): Promise<CaptureView> {
    const view = this.captures.get(name);
    if (view === undefined) throw new Error(`no capture ${name}`);
    view.state = 'finished';
    this.captures.delete(name);
    this.changeListener();
    this.endListener(view);
    return view;
  }

  snaplen(): number {
    return this.list().reduce((bytes, view) => Math.max(bytes, view.snaplen), 0);
  }

  flagsOf(endpoint: string | null, network: string): number {
    const isHit = (view: CaptureView) =>
      view.all || view.network === network || (endpoint !== null && view.endpoint === endpoint);
    return this.list().some(isHit) ? 1 : 0;
  }

  setPorts(ports: readonly CapturePort[]): void {
    this.ports = ports;
  }

  onChange(listener: () => void): void {
    this.changeListener = listener;
  }

  onEnd(listener: (view: CaptureView) => void): void {
    this.endListener = listener;
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}
