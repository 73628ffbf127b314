/**
 * Stations behind other VTEPs, as the state file and the control plane know them, and what the datapath was told of them.
 *
 * Several sources may speak of one MAC (a static endpoint and the cluster, or two hosts for a moment while an endpoint moves):
 * a static one wins, else the last one that spoke. The datapath hears differences only, and everything again after its worker
 * was replaced (datapath-client.ts keeps what it was told).
 *
 * Invariant: `told` is what the datapath knows of each (network, VLAN, MAC), once `flush` has resolved.
 */
import { BindingRows, type StationBinding } from '../../compile/binding-rows.js';
import { BINDING_CLUSTER, BINDING_STATIC } from '../../datapath/program.js';

export interface Binding extends StationBinding {
  network: string;
  /** BINDING_* of datapath/program.ts. */
  origin: number;
}

export interface BindingBookOptions {
  /** Row of a network whose tunnel the datapath has; null: nothing can be said of it now. */
  rowOf(network: string): number | null;
  /** Rows of BINDING_INTS. */
  send(rows: Int32Array): Promise<void>;
}

/** What is said of one MAC of one network. */
interface Station {
  network: string;
  /** `VLAN MAC`. */
  name: string;
  /** The first that was said of it: by it the MAC can be named when nothing is said any more. */
  sample: Binding;
  /** By id, the last one that spoke last. */
  claims: Map<string, Binding>;
  /** null: the datapath knows nothing. */
  told: Binding | null;
  /** Whether it may know something else: it refused a change, or died in one. */
  isDoubtful: boolean;
}

export class BindingBook {
  readonly #options: BindingBookOptions;
  /** By network, then by `VLAN MAC`. */
  readonly #networks = new Map<string, Map<string, Station>>();
  /** Where each id has its claim. */
  readonly #claims = new Map<string, Binding>();
  readonly #changed = new Set<Station>();

  constructor(options: BindingBookOptions) {
    this.#options = options;
  }

  /** `id`: unique for the source, e.g. `static NAME`. What it said before is replaced. Takes effect with `flush`. */
  set(id: string, binding: Binding): void {
    this.remove(id);
    const { network } = binding;
    const stations = this.#stationsOf(network);
    const name = stationName(binding);
    const station = stations.get(name) ?? {
      network,
      name,
      sample: binding,
      claims: new Map(),
      told: null,
      isDoubtful: false,
    };
    stations.set(name, station);
    station.claims.set(id, binding);
    this.#claims.set(id, binding);
    this.#changed.add(station);
  }

  get(id: string): Binding | null {
    return this.#claims.get(id) ?? null;
  }

  remove(id: string): void {
    const binding = this.#claims.get(id);
    if (binding === undefined) return;
    this.#claims.delete(id);
    const station = this.#networks.get(binding.network)?.get(stationName(binding));
    if (station === undefined) return;
    station.claims.delete(id);
    this.#changed.add(station);
  }

  /** Ids that begin with `prefix`. */
  ids(prefix: string): string[] {
    return [...this.#claims.keys()].filter((id) => id.startsWith(prefix));
  }

  /** The datapath has forgotten what it knew of the network: its row is new, or its tunnel. */
  forgetTold(network: string): void {
    for (const station of this.#networks.get(network)?.values() ?? []) {
      station.told = null;
      station.isDoubtful = false;
      this.#changed.add(station);
    }
  }

  /** Tells the datapath what has changed. What cannot be told yet waits, and so does what it refuses. */
  async flush(): Promise<void> {
    const rows = new BindingRows();
    const sent: Station[] = [];
    for (const station of [...this.#changed]) {
      const wanted = winnerOf(station);
      const row = this.#options.rowOf(station.network);
      if (row === null && wanted !== null) continue;
      this.#changed.delete(station);
      if (row !== null) addChange(rows, row, station, wanted);
      station.told = wanted;
      station.isDoubtful = false;
      sent.push(station);
    }
    try {
      if (!rows.isEmpty) await this.#options.send(rows.toTable());
    } catch (error) {
      for (const station of sent) {
        station.isDoubtful = true;
        this.#changed.add(station);
      }
      throw error;
    }
    for (const station of sent) if (station.claims.size === 0 && !this.#changed.has(station)) this.#drop(station);
  }

  /** All that the datapath was told, as rows that add it. */
  toldRows(): Int32Array {
    const rows = new BindingRows();
    for (const [network, stations] of this.#networks) {
      const row = this.#options.rowOf(network);
      if (row === null) continue;
      for (const { told } of stations.values()) if (told !== null) rows.add(row, told.origin, told);
    }
    return rows.toTable();
  }

  /** MAC of the station on another host that has an address, as texts; null: none is known. */
  macOf(network: string, address: string): string | null {
    for (const { told } of this.#networks.get(network)?.values() ?? []) {
      if (told?.ip.includes(address)) return told.mac;
    }
    return null;
  }

  #stationsOf(network: string): Map<string, Station> {
    let stations = this.#networks.get(network);
    if (stations === undefined) {
      stations = new Map();
      this.#networks.set(network, stations);
    }
    return stations;
  }

  #drop({ network, name }: Station): void {
    const stations = this.#networks.get(network);
    stations?.delete(name);
    if (stations?.size === 0) this.#networks.delete(network);
  }
}

function stationName({ vlan, mac }: Binding): string {
  return `${vlan} ${mac}`;
}

function winnerOf({ claims }: Station): Binding | null {
  const all = [...claims.values()];
  return all.findLast(({ origin }) => origin === BINDING_STATIC) ?? all.at(-1) ?? null;
}

/** From what the datapath knows to what it is to know. */
function addChange(rows: BindingRows, row: number, station: Station, wanted: Binding | null): void {
  const { told, isDoubtful, sample } = station;
  if (isDoubtful) for (const origin of [BINDING_STATIC, BINDING_CLUSTER]) rows.remove(row, origin, sample);
  else if (told !== null && !isSame(told, wanted)) rows.remove(row, told.origin, told);
  if (wanted !== null) rows.add(row, wanted.origin, wanted);
}

function isSame(a: Binding, b: Binding | null): boolean {
  return b !== null && JSON.stringify(a) === JSON.stringify(b);
}
