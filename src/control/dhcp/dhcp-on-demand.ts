/**
 * The DHCP servers (dhcp-service.ts), loaded when a client first asks: most labs have no such client. Nothing is lost meanwhile,
 * because what the datapath punts waits in the punt ring; and nobody else waits, because loading is no work of the datapath's thread.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { CaptureRingReader } from '../../capture/capture-ring-reader.js';
import type { DhcpCount } from '../controller.js';
import type { DhcpService, DhcpServiceParts } from './dhcp-service.js';

/** A program that cannot be loaded (a disk that fails) is tried again at this pace. */
const RETRY_MS = 5000;

export class DhcpOnDemand {
  private readonly parts: DhcpServiceParts;
  /** Waits for the first request, and leaves it in the ring. */
  private readonly ring: CaptureRingReader;
  private service: DhcpService | null = null;
  private isStopped = false;

  constructor(parts: DhcpServiceParts) {
    this.parts = parts;
    this.ring = new CaptureRingReader(parts.context.datapath.tables.punts);
  }

  /** Serves until it is stopped. */
  start(): void {
    void this.run();
  }

  stop(): void {
    this.isStopped = true;
    this.ring.stopWaiting();
    this.service?.stop();
  }

  /** Everything that happened since the daemon started, in no order. */
  counts(): DhcpCount[] {
    return this.service?.counts() ?? [];
  }

  private async run(): Promise<void> {
    await this.ring.waitForMore();
    while (!this.isStopped && this.service === null) {
      try {
        const { DhcpService } = await import('./dhcp-service.js');
        if (this.isStopped) return;
        this.service = new DhcpService(this.parts);
        this.service.start();
      } catch (error) {
        this.parts.context.log.error({ error: String(error) }, 'the DHCP servers could not be loaded');
        await pause(RETRY_MS, undefined, { ref: false });
      }
    }
  }
}
