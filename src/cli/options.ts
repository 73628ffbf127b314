/** Arguments and option values: how they are read from the command line, and options that several commands have. */
import { resolve } from 'node:path';
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import type { SchemaTypes } from '../api/schema/catalogue.js';
import { completes, type ObjectKind } from './completion/kinds.js';
import type { CliWorld } from './session.js';

type Vlan = SchemaTypes['Endpoint']['vlan'];

/** NAME of an existing object. */
export function nameOf(kind: ObjectKind): Argument {
  return completes(new Argument('<NAME>', `name of the ${kind}`), kind);
}

/** An option whose value names an object. */
export function objectOption(flags: string, description: string, kind: ObjectKind): Option {
  return completes(new Option(flags, description), kind);
}

/** An option that may be given several times, and whose value may be a comma-separated list. */
export function listOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string, before: string[] | undefined) => [
    ...(before ?? []),
    ...value.split(',').map((part) => part.trim()),
  ]);
}

/** A whole number within bounds, both included. */
export function integerOption(flags: string, description: string, least: number, most: number): Option {
  return new Option(flags, description).argParser((value) => readInteger(value, least, most));
}

export function readInteger(value: string, least: number, most: number): number {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < least || number > most) {
    throw new InvalidArgumentError(`a whole number from ${least} to ${most} is wanted`);
  }
  return number;
}

/** A size: bytes, or k, M, G of 1024 each. */
export function byteOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value) => {
    const [, digits = '', unit = ''] = /^(\d{1,12})([kKmMgG]?)$/.exec(value) ?? [];
    if (digits === '') throw new InvalidArgumentError('a size is wanted, e.g. 500k, 100M or 2G');
    return Number(digits) * 1024 ** ['', 'k', 'm', 'g'].indexOf(unit.toLowerCase());
  });
}

/** What a timer of Node can wait for; it takes anything longer for nothing at all. */
const MAX_SECONDS = 2_147_483;

/** Seconds, possibly with a fraction. */
export function readSeconds(value: string): number {
  const number = Number(value);
  if (!/^\d+(\.\d+)?$/.test(value) || number <= 0 || number > MAX_SECONDS) {
    throw new InvalidArgumentError(`a number of seconds is wanted, up to ${MAX_SECONDS}`);
  }
  return number;
}

export interface VlanOptions {
  vlan?: number | 'none';
  trunk?: number[] | 'all';
  nativeVlan?: number;
}

export function addVlanOptions(command: Command): void {
  const vlan = new Option('--vlan <ID>', 'access port: untagged frames belong to this VLAN; none: every VLAN passes');
  const trunk = new Option('--trunk <IDS>', 'trunk port: tagged frames of these VLANs, e.g. 10,20-30, or all');
  command
    .addOption(vlan.argParser((value) => (value === 'none' ? 'none' : readInteger(value, 1, 4094))).conflicts('trunk'))
    .addOption(trunk.argParser(readVlans))
    .addOption(integerOption('--native-vlan <ID>', 'VLAN of untagged frames on a trunk', 1, 4094));
}

/** The VLAN setting that the options describe; undefined when they say nothing. */
export function vlanOf(command: Command, options: VlanOptions): Vlan | undefined {
  if (options.trunk !== undefined) {
    const allowed = options.trunk === 'all' ? null : options.trunk;
    return { mode: 'trunk', native: options.nativeVlan ?? null, allowed };
  }
  if (options.nativeVlan !== undefined) command.error("option '--native-vlan' needs '--trunk'");
  if (options.vlan === undefined) return undefined;
  return options.vlan === 'none' ? null : { mode: 'access', id: options.vlan };
}

/** `10,20-30` as numbers. */
function readVlans(value: string): number[] | 'all' {
  if (value === 'all') return 'all';
  const vlans = value.split(',').flatMap((part) => {
    const [first = '', last = first, ...more] = part.split('-');
    const [from, to] = [readInteger(first, 1, 4094), readInteger(last, 1, 4094)];
    if (more.length > 0 || to < from) throw new InvalidArgumentError('VLANs are given as 10,20-30 or all');
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
  return [...new Set(vlans)].sort((a, b) => a - b);
}

/** A path as the daemon can use it, whose working directory is another. */
export function absolutePath(world: CliWorld, path: string): string {
  return resolve(world.cwd, path);
}

/** Only the entries that are set. */
export function given<Fields extends object>(fields: Fields): Partial<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<Fields>;
}
