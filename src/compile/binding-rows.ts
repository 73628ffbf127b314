/**
 * Rows of a `bindings` message (datapath/program.ts): stations behind other VTEPs, from texts to what the worker reads.
 *
 * One row per address; a station without addresses has one row that names its MAC only. The removal of such a row removes all that
 * is known of the MAC.
 */
import { parseMac } from '../wire/addresses.js';
import { familyAndWords } from './address-rows.js';
import { IntRows } from './int-rows.js';

/** A MAC of a station, and where it is. */
export interface StationBinding {
  /** VLAN of the network, 0 = untagged. */
  vlan: number;
  mac: string;
  /** Address of the VTEP. */
  vtep: string;
  /** Bare addresses of the station; IPv4 and IPv6. */
  ip: readonly string[];
}

export class BindingRows {
  private readonly rows = new IntRows();
  private isEmptySoFar = true;

  get isEmpty(): boolean {
    return this.isEmptySoFar;
  }

  /** `network`: row of the network columns. `origin`: BINDING_STATIC or BINDING_CLUSTER. */
  add(network: number, origin: number, { vlan, mac, vtep, ip }: StationBinding): void {
    for (const address of ip.length === 0 ? [null] : ip) this.row(1, network, origin, vlan, mac, vtep, address);
  }

  /** Removes the MAC and every address that it had. */
  remove(network: number, origin: number, { vlan, mac, vtep }: StationBinding): void {
    this.row(0, network, origin, vlan, mac, vtep, null);
  }

  toTable(): Int32Array<ArrayBuffer> {
    return this.rows.toTable();
  }

  private row(
    operation: number,
    network: number,
    origin: number,
    vlan: number,
    macText: string,
    vtep: string,
    address: string | null,
  ): void {
    const mac = parseMac(macText);
    if (mac === null) throw new Error(`${macText} was accepted but is no MAC`);
    this.isEmptySoFar = false;
    this.rows.addAll([operation, network, vlan, mac.high, mac.low, ...familyAndWords(vtep), origin]);
    this.rows.addAll(address === null ? NO_ADDRESS : familyAndWords(address));
  }
}

const NO_ADDRESS: readonly number[] = [0, 0, 0, 0, 0];
