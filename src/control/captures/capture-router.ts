/**
 * Who gets which frame: for every port the captures that want its frames, and what each of them knows the port as.
 *
 * A port is what the datapath counts by and may serve another endpoint later; an interface of a capture is an endpoint (or
 * the host vNIC of a network) and stays, wherever it is attached. Both are brought together anew whenever ports or captures
 * change, which is seldom; delivering a frame is one look-up.
 */
import type { CapturedFrame, CaptureRingReader } from '../../capture/capture-ring-reader.js';
import type { CaptureSession } from '../../capture/capture-session.js';
import { ARRIVAL, DEPARTURE, ENTRY, NOT_DROPPED } from '../../datapath/frame-tap.js';
import { CAPTURE_ARRIVALS, CAPTURE_DEPARTURES, CAPTURE_DROPS } from '../../datapath/program.js';
import type { CapturePort } from './capture-service.js';

type FlagsOf = (port: CapturePort) => number;

/** One capture's interest in one port. */
interface Subscription {
  session: CaptureSession;
  interfaceIndex: number;
  port: number;
  /** CAPTURE_* bits. */
  flags: number;
  /** What the ring had lost of it when it was last looked at. */
  lostSeen: number;
  /** Lost since then, to be told to the session after the frames that are in the ring. */
  lostNew: number;
}

interface Customer {
  session: CaptureSession;
  flagsOf: FlagsOf;
  /** Index of every interface by endpoint or host vNIC. */
  interfaces: Map<string, number>;
}

/** `K`: whatever identifies a capture. */
export class CaptureRouter<K> {
  private readonly ring: CaptureRingReader;
  private readonly customers = new Map<K, Customer>();
  private ports: readonly CapturePort[] = [];
  private subscriptions: Subscription[] = [];
  private byPort: Subscription[][] = [];
  private lostTotal = 0;

  constructor(ring: CaptureRingReader) {
    this.ring = ring;
  }

  add(key: K, session: CaptureSession, flagsOf: FlagsOf): void {
    this.customers.set(key, { session, flagsOf, interfaces: new Map() });
    this.rebuild();
  }

  remove(key: K): void {
    this.customers.delete(key);
    this.rebuild();
  }

  setPorts(ports: readonly CapturePort[]): void {
    this.ports = ports;
    if (this.customers.size > 0) this.rebuild();
  }

  deliver(frame: CapturedFrame): void {
    const subscriptions = this.byPort[frame.port];
    if (subscriptions === undefined) return;
    const wanted = neededFlag(frame);
    for (const { flags, session, interfaceIndex } of subscriptions) {
      if ((flags & wanted) !== 0) session.offer(frame, interfaceIndex);
    }
  }

  /** Looks at what was lost up to now, before the ring is read. */
  sampleLost(): void {
    const total = this.ring.lostTotal();
    if (total === this.lostTotal) return;
    this.lostTotal = total;
    for (const subscription of this.subscriptions) {
      const lost = this.lostOf(subscription.port, subscription.flags);
      subscription.lostNew += lost - subscription.lostSeen;
      subscription.lostSeen = lost;
    }
  }

  /** Tells it to the captures, after the ring was read: frames are lost behind those that were in the ring then. */
  settleLost(): void {
    for (const subscription of this.subscriptions) {
      if (subscription.lostNew === 0) continue;
      subscription.session.addLost(subscription.interfaceIndex, subscription.lostNew);
      subscription.lostNew = 0;
    }
  }

  private rebuild(): void {
    this.sampleLost();
    this.settleLost();
    this.subscriptions = [];
    this.byPort = [];
    for (const { session, flagsOf, interfaces } of this.customers.values()) {
      for (const port of this.ports) {
        const flags = flagsOf(port);
        if (flags === 0) continue;
        const interfaceIndex = interfaceOf(session, interfaces, port);
        const lostSeen = this.lostOf(port.port, flags);
        const subscription = { session, interfaceIndex, port: port.port, flags, lostSeen, lostNew: 0 };
        this.subscriptions.push(subscription);
        this.byPort[port.port] ??= [];
        this.byPort[port.port]!.push(subscription);
      }
    }
  }

  private lostOf(port: number, flags: number): number {
    const arrivals = (flags & CAPTURE_ARRIVALS) === 0 ? 0 : this.ring.lost(port, ARRIVAL);
    const departures = (flags & CAPTURE_DEPARTURES) === 0 ? 0 : this.ring.lost(port, DEPARTURE);
    return arrivals + departures + ((flags & ENTRY_FLAGS) === 0 ? 0 : this.ring.lost(port, ENTRY));
  }
}

/** What a router sends into a network is shown to those who capture the network, and to those who capture who gets it. */
const ENTRY_FLAGS = CAPTURE_ARRIVALS | CAPTURE_DEPARTURES;

/** An arrival was on the wire whatever became of it; a departure that failed never was. */
function neededFlag({ direction, reason }: CapturedFrame): number {
  if (direction === ARRIVAL) return CAPTURE_ARRIVALS;
  if (direction === ENTRY) return ENTRY_FLAGS;
  return reason === NOT_DROPPED ? CAPTURE_DEPARTURES : CAPTURE_DROPS;
}

function interfaceOf(session: CaptureSession, interfaces: Map<string, number>, port: CapturePort): number {
  const key = port.endpoint === null ? `interface ${port.ifname} of ${port.network}` : `endpoint ${port.endpoint}`;
  let index = interfaces.get(key);
  if (index === undefined) {
    const name = port.endpoint ?? port.ifname;
    const description = `network ${port.network}, interface ${port.ifname}`;
    index = session.addInterface({ name, description, mac: port.mac });
    interfaces.set(key, index);
  }
  return index;
}
