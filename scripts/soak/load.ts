// The load: four compartments on one network that stay for the whole run, and programs in them that send without pause, each
// for a second or a few, then the next with other parameters. What iperf3 measures is of no interest here: that the frames
// were many and that all are accounted for is.
import { setTimeout as sleep } from 'node:timers/promises';
import { Prng } from '../../src/lib/prng.js';
import type { Lab, Subnet } from '../../test/support/system-lab.js';
import { createSide, type Side } from '../../test/support/system-pair.js';
import { Background, inNamespace } from '../../test/support/system-process.js';

/** One kind of traffic from one compartment to another, over and over. */
interface Flow {
  name: string;
  from: number;
  to: number;
  command(random: Prng, address: string, subnet: Subnet, seconds: number, port: number): string[];
}

const FLOWS: readonly Flow[] = [
  {
    ...{ name: 'tcp', from: 0, to: 1 },
    command: (random, address, _subnet, seconds, port) => [
      ...iperf(address, port, seconds),
      ...['-P', String(1 + random.below(4))],
      ...(random.below(2) === 0 ? ['-R'] : []),
    ],
  },
  {
    // The receiver has no offloads: every super-frame is cut for it, those of its answers never are any.
    ...{ name: 'tcp to a port without offloads', from: 1, to: 2 },
    command: (random, address, _subnet, seconds, port) => [
      ...iperf(address, port, seconds),
      ...(random.below(4) === 0 ? ['-R'] : []),
    ],
  },
  {
    ...{ name: 'udp', from: 3, to: 0 },
    command: (random, address, _subnet, seconds, port) => [
      ...iperf(address, port, seconds),
      ...['-u', '-b', `${50 + random.below(400)}M`, '-l', String(64 + random.below(8000))],
    ],
  },
  {
    ...{ name: 'small udp', from: 2, to: 3 },
    command: (random, address, _subnet, seconds, port) => [
      ...iperf(address, port, seconds),
      ...['-u', '-b', `${2 + random.below(10)}M`, '-l', String(16 + random.below(48))],
    ],
  },
  {
    // To everybody, the endpoints of the operators included.
    ...{ name: 'broadcast', from: 0, to: 1 },
    command: (random, _address, subnet, seconds) => [
      ...['ping', '-q', '-b', '-i', '0.002', '-w', String(seconds)],
      ...['-s', String(random.below(1400)), `${subnet.v4}.255`],
    ],
  },
];

const HOSTS = [10, 20, 30, 40];
const FIRST_PORT = 5201;

export class Load {
  readonly network: string;
  readonly subnet: Subnet;
  /** Programs that ran to their end, and those that complained, by flow. */
  readonly runs: Record<string, { done: number; failed: number; lastWords: string }> = {};
  sides: Side[] = [];
  private readonly lab: Lab;
  private readonly seed: number;
  private readonly current = new Set<Background>();
  private ending: AbortController | null = null;
  private flows: Promise<void>[] = [];

  constructor(lab: Lab, seed: number) {
    this.lab = lab;
    this.seed = seed;
    this.network = lab.name('core');
    this.subnet = lab.subnet();
  }

  /** Makes the network and its compartments. */
  async prepare(): Promise<void> {
    const { lab, network, subnet } = this;
    const subnets = [`${subnet.v4}.0/24`, `${subnet.v6}::/64`];
    // The operators' endpoints get addresses of their own range.
    const pools = [`${subnet.v4}.100-${subnet.v4}.250`, `${subnet.v6}::1000-${subnet.v6}::ffff`];
    await lab.daemon.call('POST', '/v1/networks', { name: network, type: 'private', subnets, pools });
    for (const [index, host] of HOSTS.entries()) {
      const endpoint = index === 2 ? { offload: false } : {};
      this.sides.push(await createSide(lab, { network, subnet, base: `core${index}`, host, endpoint }));
    }
  }

  start(): void {
    this.ending = new AbortController();
    const { signal } = this.ending;
    this.flows = FLOWS.map((flow, index) => this.repeat(flow, index, signal));
  }

  /** Ends all programs and waits until they are gone. */
  async stop(): Promise<void> {
    this.ending?.abort();
    await Promise.all([...this.current].map((program) => program.stop('SIGKILL')));
    await Promise.all(this.flows);
    this.flows = [];
    this.current.clear();
  }

  private async repeat(flow: Flow, index: number, signal: AbortSignal): Promise<void> {
    const port = FIRST_PORT + index;
    const random = new Prng(this.seed * 17 + index + 1);
    const counts = this.runs[flow.name] ?? { done: 0, failed: 0, lastWords: '' };
    this.runs[flow.name] = counts;
    while (!signal.aborted) {
      const seconds = 1 + random.below(4);
      const needsServer = flow.name !== 'broadcast';
      const server = needsServer
        ? this.begin(flow.to, ['iperf3', '-s', '-1', '-p', String(port), '--forceflush'])
        : null;
      while (server !== null && !server.stdout.includes('listening') && server.status === null) await sleep(10);
      if (signal.aborted) break;
      const side = this.sides[flow.to]!;
      const address = random.below(3) === 0 ? side.v6 : side.v4;
      const client = this.begin(flow.from, flow.command(random, address, this.subnet, seconds, port));
      const outcome = await client
        .end((seconds + 30) * 1000)
        .catch((error: Error) => ({ status: -1, stderr: error.message, stdout: '' }));
      this.current.delete(client);
      if (server !== null) {
        await server.stop('SIGTERM', 1000);
        this.current.delete(server);
      }
      if (signal.aborted) break;
      // Nobody has to answer a broadcast.
      if (outcome.status === 0 || !needsServer) counts.done++;
      else {
        counts.failed++;
        counts.lastWords = `${outcome.stderr}${outcome.stdout}`.trim().split('\n').at(-1) ?? '';
        await sleep(200);
      }
    }
  }

  private begin(index: number, command: readonly string[]): Background {
    const program = new Background(inNamespace(this.lab.path(this.sides[index]!.base), command));
    this.current.add(program);
    return program;
  }
}

function iperf(address: string, port: number, seconds: number): string[] {
  return ['iperf3', '-c', address, '-p', String(port), '-t', String(seconds), '--connect-timeout', '5000'];
}
