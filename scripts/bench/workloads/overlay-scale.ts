// What weft's tunnel loses to many other hosts: forwarding capacity with 1000 VTEPs and 100 000 stations behind them, against two
// VTEPs with one station each. In both directions and over both underlays.
//
//   a [pa] ---- weft in x [ux 10.216.0.1] ==veth== [uw 10.216.0.2] w, where the other VTEPs are said to be
//
// The VTEPs 10.217.0.1 .. exist only as source addresses of what c/frame-flood.c sends out of w; weft learns stations from that as it
// would from real ones. What goes out to them is routed to a MAC address that is not w's, what comes in goes to one that lives behind
// a but is not a's: both stacks discard the frames at once, so that the figure is weft's and not theirs. Two labs, one with two VTEPs
// and one with all, take turns, so that the machine's drift hits both alike.
import {
  addNamespace,
  type Bench,
  closeSite,
  helperPath,
  inNamespace,
  openSite,
  type Site,
  stationAddress,
} from '../lab.js';
import { UNDERLAY_PREFIX_LENGTH, VNI } from '../overlay-lab.js';
import { run, sleep } from '../processes.js';
import { addOverlay, addOverlayStation, type Underlay } from '../systems/overlay-weft.js';
import { expectNoLeftovers, startWeft, type WeftDaemon } from '../systems/weft-daemon.js';
import { FIRST_MAC, measureFlood } from './capacity.js';
import type { WeftWorkload } from './workload.js';

const VTEPS = 1000;
const STATIONS = 100_000;
const QUICK_STATIONS = 10_000;
/** Stations and VTEPs that the others are compared with. */
const FEW = 2;
const TURNS = 2;
const HOST = { ifname: 'ux', address: '10.216.0.1', vtep: '10.216.0.11' };
const OUTSIDE = { ifname: 'uw', address: '10.216.0.2' };
const VTEP_SUBNET = '10.217.0.0/16';
const FIRST_VTEP = '10.217.0.1';
/** Of nobody in w. */
const NEXT_HOP_MAC = '02:b1:00:00:00:01';
/** Of nobody in a, but behind it. */
const INNER_MAC = '02:c0:00:00:00:01';
const LEARN_PER_SECOND = 50_000;
/** How often the stations send at most until they are all known, and the share that has to be known. */
const PASSES = 4;
const ENOUGH = 0.98;

interface ScaleLab {
  readonly site: Site;
  readonly daemon: WeftDaemon;
  readonly stations: number;
  readonly inside: { namespace: string; ifname: string };
  readonly outside: { namespace: string; ifname: string };
  /** Options of frame-flood for what leaves a, and for what comes from the VTEPs. */
  readonly out: readonly string[];
  readonly in: readonly string[];
}

export const overlayScale: WeftWorkload = scale('overlay-scale', 'tap');
export const overlayScaleSocket: WeftWorkload = scale('overlay-scale-socket', 'socket');

function scale(name: string, underlay: Underlay): WeftWorkload {
  const title = `${underlay}: capacity with 1000 VTEPs, 100k MACs / with two`;
  return {
    name,
    metrics: [
      { id: name, title: `${title}, out`, unit: 'ratio', better: 'higher', digits: 3 },
      { id: `${name}-in`, title: `${title}, in`, unit: 'ratio', better: 'higher', digits: 3 },
      {
        id: `${name}-few`,
        title: `${underlay}: capacity with two VTEPs, out`,
        unit: 'kframe/s',
        better: 'higher',
        digits: 0,
      },
      { id: `${name}-in-few`, title: `${underlay}: the same, in`, unit: 'kframe/s', better: 'higher', digits: 0 },
    ],
    measure: async (bench) => {
      const opened: ScaleLab[] = [];
      try {
        const many = bench.quick ? QUICK_STATIONS : STATIONS;
        for (const [vteps, stations] of [
          [FEW, FEW],
          [VTEPS, many],
        ] as const) {
          const lab = await startScaleLab(bench, underlay, vteps, stations);
          opened.push(lab);
          lab.daemon.service.pause();
        }
        const [few, all] = opened as [ScaleLab, ScaleLab];
        const sums = { few: { out: 0, in: 0 }, all: { out: 0, in: 0 } };
        for (let turn = 0; turn < TURNS; turn++) {
          for (const direction of ['out', 'in'] as const) {
            sums.few[direction] += await measureDirection(bench, few, direction);
            sums.all[direction] += await measureDirection(bench, all, direction);
          }
        }
        return {
          [name]: sums.all.out / sums.few.out,
          [`${name}-in`]: sums.all.in / sums.few.in,
          [`${name}-few`]: sums.few.out / TURNS,
          [`${name}-in-few`]: sums.few.in / TURNS,
        };
      } finally {
        for (const { site } of opened) await closeSite(site);
      }
    },
  };
}

async function startScaleLab(bench: Bench, underlay: Underlay, vteps: number, stations: number): Promise<ScaleLab> {
  const site = openSite(bench, `scale-${underlay}`);
  try {
    const outside = await addNamespace(site, 'w');
    const host = await addNamespace(site, 'x');
    const hostMac = await joinHost(host, outside);
    expectNoLeftovers(site, [host, outside]);
    const daemon = await startWeft(site, host);
    const vtep = underlay === 'tap' ? HOST.vtep : HOST.address;
    await addOverlay(site, daemon, underlay, vtep, []);
    const inside = await addOverlayStation(site, daemon, 'a');
    const [a, b] = [stationAddress('a'), stationAddress('b')];
    const outer = ['-V', String(VNI), '-m', hostMac, '-o', vtep, '-O', FIRST_VTEP, '-P', String(vteps)];
    const lab: ScaleLab = {
      ...{ site, daemon, stations, inside, outside: { namespace: outside, ifname: OUTSIDE.ifname } },
      out: ['-i', inside.ifname, '-s', INNER_MAC, '-d', FIRST_MAC, '-D', String(stations), '-f', a, '-t', b],
      in: ['-i', OUTSIDE.ifname, '-s', FIRST_MAC, '-S', String(stations), '-d', INNER_MAC, '-f', b, '-t', a, ...outer],
    };
    await learnAll(bench, lab, vteps);
    return lab;
  } catch (error) {
    const words = site.services.map((service) => service.lastWords()).filter((text) => text !== '');
    await closeSite(site).catch((problem: Error) => words.push(problem.message));
    throw new Error([(error as Error).message, ...words].join('\n'));
  }
}

/** The wire between the host and the outside, and the way to all VTEPs. Returns the MAC of the host. */
async function joinHost(host: string, outside: string): Promise<string> {
  const inHost = (...args: string[]) => run('ip', ['-n', host, ...args]);
  const inOutside = (...args: string[]) => run('ip', ['-n', outside, ...args]);
  await inHost('link', 'add', HOST.ifname, 'type', 'veth', 'peer', 'name', OUTSIDE.ifname, 'netns', outside);
  await inHost('addr', 'add', `${HOST.address}/${UNDERLAY_PREFIX_LENGTH}`, 'dev', HOST.ifname);
  await inHost('link', 'set', HOST.ifname, 'up');
  await inOutside('addr', 'add', `${OUTSIDE.address}/${UNDERLAY_PREFIX_LENGTH}`, 'dev', OUTSIDE.ifname);
  await inOutside('link', 'set', OUTSIDE.ifname, 'up');
  await inHost('neigh', 'replace', OUTSIDE.address, 'lladdr', NEXT_HOP_MAC, 'dev', HOST.ifname, 'nud', 'permanent');
  await inHost('route', 'add', VTEP_SUBNET, 'via', OUTSIDE.address);
  const [link] = JSON.parse(await inHost('-j', 'link', 'show', 'dev', HOST.ifname)) as { address: string }[];
  return link!.address;
}

/** Has all stations send until the tables hold them: a figure over a half-full table would be a lie. */
async function learnAll(
  bench: Bench,
  { daemon, stations, inside, outside, out, in: incoming }: ScaleLab,
  vteps: number,
) {
  const send = (namespace: string, flood: readonly string[], count: number) => {
    const pace = ['-n', String(Math.max(count, 4)), '-r', String(LEARN_PER_SECOND)];
    const options = { signal: bench.signal, timeoutMs: 30_000 };
    return run(...inNamespace(namespace, helperPath(bench, 'frame-flood'), ...flood, ...pace), options);
  };
  let held = 0;
  for (let pass = 0; pass < PASSES && held < stations; pass++) {
    await send(inside.namespace, out, 1);
    await send(outside.namespace, incoming, stations);
    await sleep(500, bench.signal);
    held = (await daemon.http<{ vtep: string | null }[]>('GET', '/v1/fdb')).answer.filter(
      (row) => row.vtep !== null,
    ).length;
  }
  const known = (await daemon.http<{ origin: string }[]>('GET', '/v1/vteps')).answer;
  const learned = known.filter((row) => row.origin === 'learned').length;
  if (held < stations * ENOUGH || learned < vteps * ENOUGH) {
    throw new Error(
      `${held} of ${stations} stations and ${learned} of ${vteps} VTEPs are known after ${PASSES} passes`,
    );
  }
}

/** Thousand frames per second that a lab forwards. */
async function measureDirection(bench: Bench, lab: ScaleLab, direction: 'out' | 'in'): Promise<number> {
  const [from, to] = direction === 'out' ? [lab.inside, lab.outside] : [lab.outside, lab.inside];
  lab.daemon.service.resume();
  try {
    await sleep(50, bench.signal);
    return (await measureFlood(bench, from.namespace, lab[direction], to)).forwarded;
  } finally {
    lab.daemon.service.pause();
  }
}
