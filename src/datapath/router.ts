/**
 * The router: what happens to frames for the gateways of networks, between switch and transmit. Read `run` first.
 *
 *   network-layer   IP and transport headers -> columns              stages/network-layer.ts
 *   gateway         ARP, neighbour discovery, ping, services         stages/gateway.ts
 *   suppress        questions for stations that are known            stages/suppress.ts
 *   host            what a gateway of the host is spared             stages/route.ts
 *   nat-inbound     external destinations -> inside ones             stages/nat-inbound.ts
 *   route           next hop, TTL, MTU, its MAC                      stages/route.ts
 *   nat-outbound    inside sources -> external ones                  stages/nat-outbound.ts
 *   rewrite         the bytes agree with the columns                 stages/rewrite.ts
 *   answer-errors   ICMP to the senders of what was dropped          stages/answer-errors.ts
 *
 * A turn without frames for it costs the router one comparison. Nothing here knows a kernel or a clock; between turns it has timers
 * (`tick`): questions for MACs that are due, advertisements, frames that have waited long enough.
 *
 * The router never decides what the switch can: a frame from one station of a network to another does not come here.
 */
import type { FrameVector } from '../frames/frame-vector.js';
import { adoptNeighbours, tickNeighbours } from './neighbours.js';
import { type Program, ROLE_SWITCH } from './program.js';
import { adoptAdvertisements, tickAdvertisements } from './router-advertisement.js';
import type { RouterState } from './router-state.js';
import type { StageObserver } from './stage-observer.js';
import { answerErrors, answerOversized } from './stages/answer-errors.js';
import { answerAsGateway } from './stages/gateway.js';
import { translateInbound } from './stages/nat-inbound.js';
import { translateOutbound } from './stages/nat-outbound.js';
import { parseNetworkLayer } from './stages/network-layer.js';
import { rewrite } from './stages/rewrite.js';
import { route, takeFromHost } from './stages/route.js';
import { suppressQuestions } from './stages/suppress.js';

/** Timers are looked at this often; all of them are about seconds. */
const TICK_MS = 50;

export class Router {
  readonly state: RouterState;
  private readonly frames: FrameVector;
  /** Whether any network of the program has a gateway. */
  private isNeeded = false;
  private tickedMs = 0;

  constructor(state: RouterState) {
    this.state = state;
    this.frames = state.frames;
  }

  /** Decides what the switch left to it, and what is due in this turn. Frames that it makes stand behind the arrivals. */
  run(program: Program, now: number, observer: StageObserver | null): void {
    if (!this.isNeeded && this.state.holds.count === 0) return;
    if (this.frames.routing > 0) {
      const { state, frames } = this;
      parseNetworkLayer(frames, state.slab.view);
      observer?.after('network-layer');
      answerAsGateway(state, program, now);
      observer?.after('gateway');
      suppressQuestions(state, program);
      observer?.after('suppress');
      takeFromHost(frames, program);
      translateInbound(state, program, now);
      observer?.after('nat-inbound');
      route(state, program, now);
      observer?.after('route');
      translateOutbound(state, program, now);
      observer?.after('nat-outbound');
      rewrite(state, program, now);
      observer?.after('rewrite');
      answerErrors(state, program, now);
      observer?.after('answer-errors');
    }
    this.tick(program, now);
  }

  /** Answers what the ingress stage found too large, before the switch. */
  tellOversized(program: Program, now: number): void {
    parseNetworkLayer(this.frames, this.state.slab.view);
    answerOversized(this.state, program, now);
  }

  /** Whether frames wait that the next turn is to take up at once. */
  get hasWork(): boolean {
    return this.state.holds.ready > 0;
  }

  /** Brings frames back that were held (frames/hold-pool.ts): rows from `firstRow` on, behind `at` of the slab. */
  takeReady(program: Program, firstRow: number, at: number, maxFrames: number, maxBytes: number): number {
    const { state, frames } = this;
    const { portCount, portSerial } = program;
    return state.holds.takeReady(frames, state.slab, portCount, portSerial, firstRow, at, maxFrames, maxBytes);
  }

  /** Frames that the last `takeReady` forgot, because their port is gone. */
  get lost(): number {
    return this.state.holds.lost;
  }

  private tick(program: Program, now: number): void {
    this.state.nat.tick(this.state.holds, now);
    const elapsed = (now - this.tickedMs) | 0;
    if (elapsed >= 0 && elapsed < TICK_MS) return;
    this.tickedMs = now;
    tickNeighbours(this.state, now);
    tickAdvertisements(this.state, program, now);
  }

  /** What was learned on networks that are gone is forgotten. @coldPath once per program */
  adopt(next: Program, now: number): void {
    const { state } = this;
    this.isNeeded = next.networkRole.some((role) => role !== ROLE_SWITCH);
    state.own.adopt(next);
    adoptNeighbours(state, next);
    state.remoteRoutes.adopt(next, now);
    adoptAdvertisements(state, next, now);
    state.nat.adopt(next, now);
    state.program = next;
  }
}
