/** What trying out the kernel's offloads (offload-test.ts) came to, and what tunnels may use of them. */
import type { Namespace } from '../kernel/kernel.js';

export interface OffloadVerdict {
  /** `missing`: this kernel does not have it. `broken`: it says that it has, but what comes out is not what went in. */
  state: 'works' | 'missing' | 'broken';
  /** What was seen. */
  finding: string;
}

export interface OffloadVerdicts {
  joins: OffloadVerdict;
  tunnelGso: OffloadVerdict;
}

/** What the kernel does right of what it promises. */
export interface Offloads {
  /** Datagrams may be joined into one message, and come joined (UDP_SEGMENT, UDP_GRO). */
  joins: boolean;
  /** Super-frames inside of VXLAN may pass a TAP whole. */
  tunnelGso: boolean;
  /** What the operator has to hear of it. */
  warnings?: readonly string[];
}

/** Tries them out; asked once per VTEP. */
export type TestOffloads = (namespace: Namespace) => Promise<Offloads>;
