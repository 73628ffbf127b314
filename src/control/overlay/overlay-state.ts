/** What the control thread keeps of overlay networks besides the desired state: VTEPs, tunnels, stations of other hosts. */
import type { PortTable } from '../port-table.js';
import type { DatapathHost } from '../worker/datapath-host.js';
import { BindingBook } from './binding-book.js';
import { createOffloadTest, type OffloadVerdicts, type TestOffloads } from './offload-verdict.js';
import type { Vtep } from './vtep.js';

export interface OverlayState {
  /** VTEPs of this host that are there, by key. */
  readonly vteps: Map<string, Vtep>;
  /** Key of the VTEP of each overlay network, by name; one that is not in here has lost its VTEP. */
  readonly tunnels: Map<string, string>;
  /** Overlay networks that the datapath has a row of, by name: it can be told of their stations. */
  readonly programmed: Set<string>;
  /** Stations behind other VTEPs. */
  readonly bindings: BindingBook;
  readonly offloads: TestOffloads;
}

export function createOverlayState(ports: PortTable, datapath: DatapathHost, test?: TestOffloads): OverlayState {
  const programmed = new Set<string>();
  return {
    vteps: new Map(),
    tunnels: new Map(),
    programmed,
    bindings: new BindingBook({
      rowOf: (network) => (programmed.has(network) ? ports.rowOfNetwork(network) : null),
      send: (rows) => datapath.setBindings(rows),
    }),
    offloads: test ?? createOffloadTest(testWhenNeeded),
  };
}

/** Loaded with the first tunnel: it builds frames and a rig of its own. */
async function testWhenNeeded(): Promise<OffloadVerdicts> {
  const { testOffloads } = await import('./offload-test.js');
  return testOffloads();
}
