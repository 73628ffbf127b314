/** Endpoints of other hosts that were entered by hand (HCN RemoteEndpoint), as what the datapath is told of them. */
import { BINDING_STATIC } from '../../datapath/program.js';
import type { EndpointSpec } from '../../model/endpoint.js';
import type { Context } from '../context.js';
import type { Transaction } from '../transaction.js';

/** After a change of an endpoint, from `former` to `next`; null: it was not there, or is gone. Does nothing for those of this host. */
export async function updateStation(
  context: Context,
  transaction: Transaction,
  former: EndpointSpec | null,
  next: EndpointSpec | null,
): Promise<void> {
  const { bindings } = context.overlay;
  const tell = async (spec: EndpointSpec | null) => {
    if (spec === null) bindings.remove(idOf((former ?? next)?.name ?? ''));
    else enter(context, spec);
    await bindings.flush();
  };
  const known = former ?? next;
  if (known === null || known.vtep === null) return;
  transaction.onUndo('station of another host', () => tell(former));
  await tell(next);
}

/** When the daemon starts: the tunnels that open tell the datapath. */
export function enterStations(context: Context): void {
  for (const { spec } of context.state.endpoints.values()) enter(context, spec);
}

function enter({ overlay }: Context, { name, network, vlan, mac, vtep, ip }: EndpointSpec): void {
  if (vtep === null) return;
  const id = vlan?.mode === 'access' ? vlan.id : 0;
  overlay.bindings.set(idOf(name), { network, vlan: id, mac, vtep, ip, origin: BINDING_STATIC });
}

function idOf(endpoint: string): string {
  return `static ${endpoint}`;
}
