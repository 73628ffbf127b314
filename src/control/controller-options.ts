/** What a controller is made of (engine.ts makes one), and how it ends. */
import type { OverlayDefaults } from '../model/overlay-defaults.js';
import type { CaptureService } from './captures/capture-service.js';
import type { ClusterOptions } from './cluster/cluster-options.js';
import type { Clock, Log } from './context.js';
import type { Controller } from './controller.js';
import type { ServeDns } from './dns/service-sockets.js';
import type { Kernel } from './kernel/kernel.js';
import type { TestOffloads } from './overlay/offload-verdict.js';
import type { Store } from './state/store.js';
import type { DatapathHost } from './worker/datapath-host.js';

/** Facts about this daemon that `status` shows. */
export interface About {
  version: string;
  pid: number;
  /** ms since 1970. */
  startedAt: number;
  socket: string;
  stateDir: string;
  runDir: string;
  /** Resident memory of the process now. */
  residentBytes(): number;
}

export interface ControllerOptions {
  kernel: Kernel;
  datapath: DatapathHost;
  /** From `openStore` (store.ts); the controller closes it. Its instance id is what the kernel's aliases begin with. */
  store: Store;
  captures: CaptureService;
  clock: Clock;
  log: Log;
  about: About;
  /** Opens the sockets of DNS servers; those of the service namespace unless a test has no such thing. */
  serveDns?: ServeDns;
  /** Where the resolv.conf of compartments is written, /etc/netns; nowhere unless it is given. */
  netnsConfiguration?: string;
  /** Tries out what the kernel promises of offloads in tunnels; the real thing unless a test has none. */
  testOffloads?: TestOffloads;
  /** Other hosts to share overlay networks with, through etcd; none unless it is given. */
  cluster?: ClusterOptions;
  /** Where the VTEP of this host is, for overlay networks that do not say. */
  overlayDefaults?: OverlayDefaults;
  /** Ids of new objects; random unless a test wants to know them. */
  newId?: () => string;
}

export interface ManagedController extends Controller {
  /**
   * Orderly end: refuses new requests, finishes those that run, ends captures, stops the datapath, lets go of every TAP
   * (they persist, so connections survive a restart) and of the state directory. Idempotent.
   */
  close(): Promise<void>;
}
