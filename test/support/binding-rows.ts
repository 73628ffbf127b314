/** Rows of `bindings` messages for tests: stations behind other VTEPs. */
import { BINDING_CLUSTER, BINDING_INTS } from '../../src/datapath/program.js';
import { addressRow, macWords } from './tunnel-columns.js';

export interface TestBinding {
  mac: string;
  vtep: string;
  /** Address of the station; null unless given: only the MAC is known. */
  ip?: string | null;
  /** Row of the network, 0 unless given. */
  network?: number;
  vlan?: number;
  /** BINDING_CLUSTER unless given. */
  origin?: number;
  /** It is taken back. */
  isGone?: boolean;
}

export function bindingRows(...bindings: readonly TestBinding[]): Int32Array {
  const rows = new Int32Array(bindings.length * BINDING_INTS);
  for (const [n, each] of bindings.entries()) {
    const { mac, vtep, ip = null, network = 0, vlan = 0, origin = BINDING_CLUSTER, isGone = false } = each;
    const station = ip === null ? [0, 0, 0, 0, 0] : addressRow(ip);
    rows.set(
      [isGone ? 0 : 1, network, vlan, ...macWords(mac), ...addressRow(vtep), origin, ...station],
      n * BINDING_INTS,
    );
  }
  return rows;
}
