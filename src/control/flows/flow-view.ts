/** Flows as people see them: names for protocols and states, addresses as text. */
import type { FlowRow } from '../../tables/flow-listing.js';
import {
  FLOW_STATELESS,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_INSIDE,
  TCP_FIN_OUTSIDE,
  TCP_RESET,
  TCP_SYN_INSIDE,
  TCP_SYN_OUTSIDE,
} from '../../tables/tcp-state.js';
import { formatIpv4, formatIpv6 } from '../../wire/addresses.js';
import type { FlowState, FlowView } from '../controller.js';

const PROTOCOLS = new Map([
  ['icmp', 1],
  ['tcp', 6],
  ['udp', 17],
  ['icmpv6', 58],
  ['sctp', 132],
]);
const PROTOCOL_NAMES = new Map([...PROTOCOLS].map(([name, number]) => [number, name]));

const STATES: Record<FlowState, number> = {
  open: FLOW_STATELESS,
  'syn-inside': TCP_SYN_INSIDE,
  'syn-outside': TCP_SYN_OUTSIDE,
  established: TCP_ESTABLISHED,
  'fin-inside': TCP_FIN_INSIDE,
  'fin-outside': TCP_FIN_OUTSIDE,
  closing: TCP_CLOSING,
  reset: TCP_RESET,
};
/** How much younger than the clock that it is shown with a flow can be: longer than any search takes. */
const MOST_AHEAD_MS = 600_000;
const STATE_NAMES = new Map(Object.entries(STATES).map(([name, state]) => [state, name as FlowState]));

/** Number of a protocol by name or as decimal text; -1 when it is neither. */
export function protocolNumber(text: string): number {
  const known = PROTOCOLS.get(text);
  if (known !== undefined) return known;
  return /^\d{1,3}$/.test(text) && Number(text) < 256 ? Number(text) : -1;
}

export function stateNumber(state: FlowState): number {
  return STATES[state];
}

/** Names a session for as long as it lives, and no other one ever. */
export function flowId({ row, generation }: FlowRow): string {
  return `${row}-${generation}`;
}

/** Row and generation of an id, or null when the text is none. */
export function parseFlowId(text: string): { row: number; generation: number } | null {
  const [, row, generation] = /^(\d{1,9})-(\d{1,10})$/.exec(text) ?? [];
  return row === undefined ? null : { row: Number(row), generation: Number(generation) };
}

/** Text of an address of four words. */
export function addressText(family: 4 | 6, words: readonly number[]): string {
  if (family === 4) return formatIpv4(words[0]!);
  const view = new DataView(new ArrayBuffer(16));
  for (const [i, word] of words.entries()) view.setInt32(4 * i, word);
  return formatIpv6(view, 0);
}

/**
 * `nowMs`: the clock of the worker a moment ago, so that the flow may be younger. An ICMP query has an identifier instead of ports, and
 * none at the remote side.
 */
export function viewFlow(flow: FlowRow, network: string, endpoint: string | null, nowMs: number): FlowView {
  const { family, protocol } = flow;
  const protocolName = PROTOCOL_NAMES.get(protocol) ?? String(protocol);
  const isQuery = protocolName.startsWith('icmp');
  return {
    id: flowId(flow),
    network,
    endpoint,
    protocol: protocolName,
    state: STATE_NAMES.get(flow.state) ?? 'open',
    inside: { address: addressText(family, flow.inside), port: flow.insidePort },
    outside: { address: addressText(family, flow.outside), port: flow.outsidePort },
    remote: { address: addressText(family, flow.remote), port: isQuery ? null : flow.remotePort },
    framesOut: flow.framesOut,
    bytesOut: flow.bytesOut,
    framesIn: flow.framesIn,
    bytesIn: flow.bytesIn,
    ageSeconds: ageSeconds(flow, nowMs),
    expiresSeconds: Math.max(0, Math.ceil(((flow.expiresMs - nowMs) | 0) / 1000)),
  };
}

/** Whole seconds since the flow was opened: up to 49 days, which is what the clock can tell. */
function ageSeconds({ createdMs }: FlowRow, nowMs: number): number {
  const elapsed = (nowMs - createdMs) | 0;
  const isAhead = elapsed < 0 && elapsed > -MOST_AHEAD_MS;
  return isAhead ? 0 : Math.floor((elapsed >>> 0) / 1000);
}
