/**
 * What every operation of the controller works with: the desired state, what stands for it in the kernel and the datapath,
 * and the services around. One per daemon; made by engine.ts.
 */
import type { DesiredState } from '../model/desired-state.js';
import type { OverlayDefaults } from '../model/overlay-defaults.js';
import type { InjectRingWriter } from '../ports/inject-ring.js';
import type { CaptureService } from './captures/capture-service.js';
import type { ClusterLink } from './cluster/cluster-link.js';
import type { WeftEvent } from './controller.js';
import type { DnsState } from './dns/dns-state.js';
import type { Kernel, Namespace, NamespaceWatch } from './kernel/kernel.js';
import type { OverlayState } from './overlay/overlay-state.js';
import type { Attachment, PortTable } from './port-table.js';
import type { EventLog } from './state/event-log.js';
import type { Uplink } from './uplinks/uplink.js';
import type { DatapathHost } from './worker/datapath-host.js';

/** Wall clock in ms since 1970. */
export interface Clock {
  now(): number;
}

/** What the controller says to the operator's log; a pino logger fits. */
export interface Log {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** The namespace of a compartment while there is one. */
export interface OpenCompartment {
  namespace: Namespace;
  watch: NamespaceWatch;
}

export interface Context {
  readonly kernel: Kernel;
  readonly datapath: DatapathHost;
  readonly captures: CaptureService;
  readonly log: Log;
  readonly state: DesiredState;
  readonly ports: PortTable;
  readonly events: EventLog;
  /** Shown by `status` until the daemon ends. */
  readonly warnings: string[];
  /** By name; a compartment that is not in here is gone. */
  readonly open: Map<string, OpenCompartment>;
  /** TAPs of endpoints, by endpoint name; an endpoint with a compartment that is not in here is degraded. */
  readonly attachments: Map<string, Attachment>;
  /** Host vNICs, by network name. */
  readonly hostAttachments: Map<string, Attachment>;
  /** What leads outside, by the name of the nat network. */
  readonly uplinkAttachments: Map<string, Attachment>;
  /** How nat networks reach the outside, by network name; one that is not in here has lost its uplink, or never had one. */
  readonly uplinks: Map<string, Uplink>;
  /** TAPs of the gateway's services, by network name. */
  readonly serviceAttachments: Map<string, Attachment>;
  /** TAPs and sockets of VTEPs, by the key of the VTEP and their name. */
  readonly underlayAttachments: Map<string, Attachment>;
  readonly overlay: OverlayState;
  readonly dns: DnsState;
  /** null without a cluster. */
  readonly cluster: ClusterLink | null;
  /** What requests for overlay networks get where they say nothing. */
  readonly overlayDefaults: OverlayDefaults;
  /** Frames that arrive at ports from inside weft; the ring has one writer. */
  readonly injector: InjectRingWriter;
  /** Frames that leave through ports, from services of the control thread; the ring has one writer. */
  readonly outbound: InjectRingWriter;
  /** Why an endpoint is degraded, or was detached without being asked, by endpoint name. */
  readonly reasons: Map<string, string>;
  newId(): string;
  /** Calls back when the namespace of a compartment is gone; wired to the queue by the engine. */
  onNamespaceGone(compartment: string, namespace: Namespace): void;
  /** The same for the namespace that the uplink of a network is in. */
  onUplinkGone(network: string, namespace: Namespace): void;
  /** The same for the namespace of a VTEP, by its key. */
  onVtepGone(key: string, namespace: Namespace): void;
}

/** Tells the operator in the log, in the events and in `status`. */
export function warn(context: Context, message: string, object: WeftEvent['object'], name: string): void {
  context.log.warn({ object, name }, message);
  context.warnings.push(message);
  if (context.warnings.length > 100) context.warnings.shift();
  context.events.add({ type: 'warning', object, name, message });
}
