/**
 * What the controller needs of the part that runs captures (capture-manager.ts): start, stop and list them, and which
 * ports the datapath has to copy frames of. Not part of the control API: that is controller.ts.
 */
import type { CaptureRequest, CaptureStream, CaptureView } from '../controller/captures.js';

export interface CaptureService {
  list(): CaptureView[];
  /** null when there is none of that name. */
  find(name: string): CaptureView | null;
  /**
   * Compiles a filter for a `start` that follows soon. Host names in it may take seconds to look up, which must not happen
   * where others wait. Rejects with a `RequestError` when it is wrong.
   */
  prepareFilter(expression: string): Promise<void>;
  /** Writes to `request.file`. Rejects with a `RequestError`. */
  start(request: CaptureRequest): Promise<CaptureView>;
  /** Hands the bytes to the caller. Rejects with a `RequestError`. */
  stream(request: CaptureRequest): Promise<CaptureStream>;
  /** Ends it and forgets it; resolves with its last state when its file is complete. */
  stop(name: string): Promise<CaptureView>;
  /** Bytes to copy of each frame, the most that any running capture wants; 0 when none runs. */
  snaplen(): number;
  /**
   * CAPTURE_* bits (datapath/program.ts) for a port. `endpoint` is null for what serves a whole network; `carries`: of a port of
   * a VTEP, the overlay networks whose tunnels it has.
   */
  flagsOf(endpoint: string | null, network: string, carries?: readonly string[]): number;
  /** Which port is whose, called whenever that changes, so that a capture can name its interfaces. */
  setPorts(ports: readonly CapturePort[]): void;
  /** Called when `snaplen` or `flagsOf` may answer differently: the controller publishes a new program. */
  onChange(listener: () => void): void;
  /** Called when a capture ended, by itself or on request. */
  onEnd(listener: (view: CaptureView) => void): void;
  /** Ends every capture. */
  close(): Promise<void>;
}

export interface CapturePort {
  port: number;
  /** null for what serves a whole network. */
  endpoint: string | null;
  /** Name; of a port of a VTEP the key of that. */
  network: string;
  ifname: string;
  mac: string;
  /** Of a port of a VTEP: names of the overlay networks whose tunnels it has. */
  carries?: readonly string[];
}
