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

/** Asks `test` once: the answer is the same for every namespace of one kernel. */
export function createOffloadTest(test: () => Promise<OffloadVerdicts>): TestOffloads {
  let answer: Promise<Offloads> | null = null;
  return () => {
    answer ??= test().then(judge);
    return answer;
  };
}

function judge({ joins, tunnelGso }: OffloadVerdicts): Offloads {
  const warnings = [
    ...complain(joins, 'UDP_SEGMENT', 'tunnels send datagrams one by one, which is slower'),
    ...complain(
      tunnelGso,
      'tunnel offload of TAPs',
      'what crosses a VTEP of underlay tap is cut before, which is slower',
    ),
  ];
  return { joins: joins.state === 'works', tunnelGso: tunnelGso.state === 'works', warnings };
}

/** A kernel that lacks something says so itself; that is nothing to warn of. */
function complain({ state, finding }: OffloadVerdict, what: string, cost: string): string[] {
  return state === 'broken' ? [`${what} of this kernel is not used (${finding}): ${cost}; use another kernel`] : [];
}
