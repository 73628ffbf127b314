/**
 * A controller over a fake kernel and a fake datapath, with a real state directory: everything of the control thread but
 * the machine. `restart` and `crash` give the next daemon on the same machine and the same directory.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ControllerOptions, ManagedController } from '../../src/control/controller-options.js';
import { createController } from '../../src/control/engine.js';
import { openEventJournal } from '../../src/control/state/event-journal.js';
import { KEPT_EVENTS } from '../../src/control/state/event-log.js';
import { openStore, type Store } from '../../src/control/state/store.js';
import { ROLE_UPLINK } from '../../src/datapath/program.js';
import { FakeCaptures } from './fake-captures.js';
import { FakeDatapath } from './fake-datapath.js';
import { FakeKernel } from './fake-kernel.js';
import { FakeMachine } from './fake-machine.js';

export interface LogLine {
  level: 'info' | 'warn' | 'error';
  message: string;
  details: object;
}

export class ControlLab {
  readonly machine: FakeMachine;
  readonly directory: string;
  readonly kernel: FakeKernel;
  readonly datapath = new FakeDatapath();
  readonly captures = new FakeCaptures();
  readonly log: LogLine[] = [];
  controller!: ManagedController;
  store!: Store;
  /** Saves fail with this message until it is null again. */
  saveFailure: string | null = null;
  saveCount = 0;
  /** Nothing is written: for tests that change more than a disk takes. */
  isForgetful = false;
  /** Number of the last event of the daemons before this one. */
  formerEvents = 0;
  private readonly more: Partial<ControllerOptions>;

  /** `more`: what the daemon is told beside the usual. */
  constructor(machine: FakeMachine, directory: string, more: Partial<ControllerOptions> = {}) {
    this.more = more;
    this.machine = machine;
    this.directory = directory;
    this.kernel = new FakeKernel(machine);
    this.kernel.isPolled = (fd) => [...this.datapath.attached.values()].includes(fd);
  }

  async start(): Promise<this> {
    const clock = { now: () => Date.now() };
    const journal = openEventJournal(join(this.directory, 'events.jsonl'), KEPT_EVENTS, assert.fail);
    this.formerEvents = journal.events.at(-1)?.sequence ?? 0;
    journal.close();
    this.store = await openStore({ directory: this.directory, clock });
    const { store } = this;
    const failingStore: Store = {
      state: store.state,
      captures: store.captures,
      warnings: store.warnings,
      save: async (captures) => {
        this.saveCount++;
        if (this.saveFailure !== null) throw new Error(this.saveFailure);
        if (!this.isForgetful) await store.save(captures);
      },
      close: () => store.close(),
    };
    const write = (level: LogLine['level']) => (details: object, message: string) =>
      void this.log.push({ level, message, details });
    const log = { info: write('info'), warn: write('warn'), error: write('error') };
    const about = {
      version: '0.0.0',
      pid: process.pid,
      startedAt: Date.now(),
      socket: '/dev/null',
      stateDir: this.directory,
      runDir: this.directory,
      residentBytes: () => 1,
    };
    const { kernel, datapath, captures } = this;
    const serveDns = () => ({ close: () => {} });
    const testOffloads = async () => ({ joins: true, tunnelGso: true });
    const services = { kernel, datapath, captures, serveDns, testOffloads };
    this.controller = await createController({ ...services, store: failingStore, clock, log, about, ...this.more });
    return this;
  }

  /** Orderly end, and the next daemon. */
  async restart(): Promise<ControlLab> {
    await this.controller.close();
    this.check();
    assert.deepEqual(this.kernel.openDescriptors, ['host namespace'], 'descriptors left open by an orderly end');
    return new ControlLab(this.machine, this.directory, this.more).start();
  }

  /** The process dies with everything it had open, and the next daemon starts. */
  async crash(): Promise<ControlLab> {
    this.kernel.die();
    await this.store.close();
    return new ControlLab(this.machine, this.directory, this.more).start();
  }

  /** Everything that a change could leave behind, to compare before and after. Aliases are left out: they count up. */
  snapshot(): unknown {
    const spaces = [['host', this.machine.host] as const, ...this.machine.namespaces];
    const interfaces = spaces.flatMap(([path, namespace]) =>
      [...namespace.interfaces.values()].map(({ ifname, mac, mtu, addresses, routes, openFd }) => {
        return { path, ifname, mac, mtu, addresses, routes, isOpen: openFd !== null };
      }),
    );
    return {
      namespaces: [...this.machine.namespaces.keys()].sort(),
      interfaces: interfaces.sort((a, b) => (`${a.path} ${a.ifname}` < `${b.path} ${b.ifname}` ? -1 : 1)),
      markers: [...this.machine.markers].sort(),
      routing: spaces.flatMap(([path, { routing }]) => (routing === null ? [] : [{ path, ...routing }])),
      descriptors: this.kernel.openDescriptors,
      watches: this.kernel.watchCount,
      ports: [...this.datapath.attached.keys()].sort(),
      members: [...this.datapath.program.portNetwork].filter((network) => network >= 0).length,
      networks: this.controller.listNetworks().map(({ id: _, ...view }) => view),
      compartments: this.controller.listCompartments().map(({ id: _, ...view }) => view),
      endpoints: this.controller.listEndpoints().map(({ id: _, port: __, ...view }) => view),
    };
  }

  /** What must be true at every moment when nothing is under way. */
  check(): void {
    assert.deepEqual([...this.kernel.faults, ...this.datapath.faults], []);
    if (this.datapath.isStopped) return;
    const { program, attached } = this.datapath;
    const rows = new Set<number>();
    for (const view of this.controller.listEndpoints()) {
      assert.equal(
        view.state === 'attached',
        view.port !== null,
        `${view.name} has a port exactly when it is attached`,
      );
      if (view.port === null) continue;
      rows.add(view.port);
      assert.ok(attached.has(view.port), `port of ${view.name} is polled`);
      assert.ok((program.portNetwork[view.port] ?? -1) >= 0, `port of ${view.name} is in the program`);
    }
    const hosts = this.controller.listNetworks().filter(({ hostInterface }) => hostInterface !== null).length;
    const isUplink = (network: number) => network >= 0 && program.networkRole[network] === ROLE_UPLINK;
    const uplinks = [...program.portNetwork].filter(isUplink).length;
    const services = [...program.networkServicePort].filter((port) => port >= 0).length;
    const underlays = [...program.portVtep].filter((vtep) => vtep >= 0).length;
    assert.equal(attached.size, rows.size + hosts + uplinks + services + underlays, 'nothing else is polled');
    const used = [...program.portNetwork].filter((network) => network >= 0).length;
    const tunnels = [...program.portTunnel].filter((tunnel) => tunnel >= 0).length;
    assert.equal(used, attached.size + tunnels, 'nothing else is in the program');
    assert.equal(program.members.length, used - services, 'nothing is flooded to the services');
  }

  async close(): Promise<void> {
    await this.controller.close();
    this.check();
  }
}

/** A directory that is removed when the test is over; call it in `beforeEach` and pass it the cleaner of `afterEach`. */
export async function makeStateDirectory(): Promise<{ directory: string; remove: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), `weft-control-${process.pid}-`));
  return { directory, remove: () => rm(directory, { recursive: true, force: true, maxRetries: 3 }) };
}

export async function startLab(
  directory: string,
  machine = new FakeMachine(),
  more: Partial<ControllerOptions> = {},
): Promise<ControlLab> {
  return new ControlLab(machine, directory, more).start();
}
