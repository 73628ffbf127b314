/** Where the bytes of a capture go: a file (file-sink.ts) or a client (stream-sink.ts). Neither ever makes anybody wait. */

export interface CaptureSink {
  /** Bytes handed over and not yet gone. */
  readonly pendingBytes: number;
  /** Takes a chunk of whole records, `frames` of them frames; false when it takes nothing any more. */
  write(chunk: Uint8Array, frames: number): boolean;
  /** Resolves when everything is where it belongs, or never will be. */
  close(): Promise<void>;
}

/** A sink that gave up: `reason` says why; `frames` handed over to it are not in the file. */
export type SinkFailure = (reason: string, frames: number) => void;
