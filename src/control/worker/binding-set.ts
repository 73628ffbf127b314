/**
 * All stations behind other VTEPs that the datapath worker was told of (rows of BINDING_INTS, datapath/program.ts), so that a worker
 * that replaces a dead one can be told again. What a row does to the others is the same here as there (datapath/bindings.ts).
 */
import { BINDING_INTS, type Program } from '../../datapath/program.js';

/** Columns of a row. */
const ADDS_AT = 0;
const NETWORK_AT = 1;
const STATION_END = 5;
const VTEP_AT = 5;
const VTEP_END = 10;
const ORIGIN_AT = 10;
const FAMILY_AT = 11;

export class BindingSet {
  /** By network, then by station and origin, then by address. */
  private readonly networks = new Map<number, Map<string, Map<string, Int32Array>>>();

  /** Takes changes over. */
  apply(rows: Int32Array): void {
    for (let at = 0; at < rows.length; at += BINDING_INTS) {
      const row = rows.slice(at, at + BINDING_INTS);
      if (row[ADDS_AT] === 1) this.add(row);
      else this.remove(row);
    }
  }

  /** Another program runs: what belonged to networks whose row is another's now is gone. */
  adopt(before: Program, next: Program): void {
    for (const network of this.networks.keys()) {
      if (!isSameNetwork(before, next, network)) this.networks.delete(network);
    }
  }

  /** Everything, as rows that add. */
  all(): Int32Array {
    const list = [...this.networks.values()].flatMap((stations) =>
      [...stations.values()].flatMap((addresses) => [...addresses.values()]),
    );
    const rows = new Int32Array(list.length * BINDING_INTS);
    for (const [n, row] of list.entries()) rows.set(row, n * BINDING_INTS);
    return rows;
  }

  private add(row: Int32Array): void {
    const stations = this.networks.get(row[NETWORK_AT]!) ?? new Map<string, Map<string, Int32Array>>();
    const station = stationOf(row);
    const addresses = stations.get(station) ?? new Map<string, Int32Array>();
    this.networks.set(row[NETWORK_AT]!, stations.set(station, addresses));
    for (const other of addresses.values()) other.set(row.subarray(VTEP_AT, VTEP_END), VTEP_AT);
    addresses.set(addressOf(row), row);
  }

  private remove(row: Int32Array): void {
    const stations = this.networks.get(row[NETWORK_AT]!);
    const station = stationOf(row);
    const addresses = stations?.get(station);
    if (addresses === undefined) return;
    if (row[FAMILY_AT] === 0) addresses.clear();
    else addresses.delete(addressOf(row));
    if (addresses.size === 0) stations?.delete(station);
  }
}

/** Whether a row of the networks is the same network in both programs. */
export function isSameNetwork(before: Program, next: Program, network: number): boolean {
  if (network >= before.networkCount || network >= next.networkCount) return false;
  return before.networkKey[network] === next.networkKey[network];
}

function stationOf(row: Int32Array): string {
  return `${row.subarray(NETWORK_AT + 1, STATION_END).join()} ${row[ORIGIN_AT]}`;
}

function addressOf(row: Int32Array): string {
  return row.subarray(FAMILY_AT).join();
}
