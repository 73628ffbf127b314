/** What reading a capture file gives, whatever its format: capture-file-reader.ts makes these, out of a reader per format. */

/** One frame of a file. `bytes` is a copy that belongs to the caller. */
export interface FileFrame {
  /** Name of its interface; null when the file does not say. */
  interfaceName: string | null;
  /** UTC since 1970. */
  seconds: number;
  nanoseconds: number;
  direction: 'inbound' | 'outbound' | null;
  comment: string | null;
  /** Frames missing in front of this one. */
  lostBefore: number;
  /** LINKTYPE_*: 1 = Ethernet. */
  linkType: number;
  bytes: Uint8Array;
  /** Bytes of the frame on the wire. */
  length: number;
}

/** One format. Nothing here throws: damage ends the reading with a sentence in `error`. */
export interface FormatReader {
  /** Why reading stopped for good, or null. */
  readonly error: string | null;
  /** Bytes that are not a whole record yet. */
  readonly pendingBytes: number;
  /** Takes over the next bytes of the file; `chunk` is not changed and not kept longer than until the frames of it are read. */
  push(chunk: Uint8Array): void;
  /** The next frame, or null when there is none before more is pushed (or ever: see `error`). */
  next(): FileFrame | null;
}
