/** Captures and replays, as asked for, and as shown. */

export interface CaptureRequest {
  name?: string;
  network?: string;
  endpoint?: string;
  all?: boolean;
  /** Outer frames, at the VTEP of the overlay network, or at all VTEPs of this host. */
  underlay?: boolean;
  /** Absolute path on the daemon's machine; absent for a stream. */
  file?: string;
  format?: 'pcapng' | 'pcap';
  count?: number;
  /** Seconds. */
  duration?: number;
  snaplen?: number;
  filter?: string;
  drops?: boolean;
  /** Bytes of a file after which the capture goes on in the next one. */
  rotateSize?: number;
  /** Files kept, the present one included; absent = all. Needs rotateSize. */
  rotateFiles?: number;
}

export interface CaptureView {
  name: string;
  network: string | null;
  endpoint: string | null;
  all: boolean;
  underlay: boolean;
  file: string | null;
  format: 'pcapng' | 'pcap';
  filter: string;
  snaplen: number;
  drops: boolean;
  rotateSize: number | null;
  rotateFiles: number | null;
  /** What was written and is kept, oldest first; of very many the newest. Empty for a stream. */
  files: string[];
  state: 'running' | 'finished' | 'failed';
  reason: string | null;
  frames: number;
  bytes: number;
  lost: number;
  startedAt: string;
}

/** A capture whose bytes go to the caller instead of a file. */
export interface CaptureStream {
  view: CaptureView;
  /** Chunks of the file format; ends when count, duration or the daemon ends it. */
  chunks: AsyncIterable<Uint8Array>;
  /** Stops it; idempotent. */
  stop(): void;
}

/** How the frames of a capture are put into a network. */
export interface ReplayRequest {
  /** Pace: 1 (the default) is that of the capture, 2 twice as fast. */
  speed?: number;
  /** As fast as the datapath takes them. */
  topSpeed?: boolean;
  /** Frames to inject at most. */
  count?: number;
  /** Only frames of this interface of the capture. */
  fromInterface?: string;
  /** `in` (the default): frames that had come in, or of which the capture does not say. */
  direction?: 'in' | 'out' | 'any';
}

export interface ReplayView {
  endpoint: string;
  injected: number;
  bytes: number;
  /** Those of `injected` that are cut into segments by whoever receives them. */
  superFrames: number;
  /** Arrivals of the endpoint that were dropped meanwhile; `listDrops` says why. */
  dropped: number;
  /** Frames of the file that were not injected, by reason. */
  skipped: {
    /** Of another interface or direction. */
    notSelected: number;
    notEthernet: number;
    /** Not captured whole (snaplen). */
    cut: number;
    tooShort: number;
    /** Longer than the MTU of the network, and no TCP that could be cut into segments. */
    tooLong: number;
  };
  seconds: number;
  ended: 'end-of-file' | 'count' | 'stopped';
}
