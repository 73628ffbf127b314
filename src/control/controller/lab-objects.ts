/** What users make: networks, compartments, endpoints, published ports, and lab files of them; as asked for, and as shown. */
import type { CompartmentSpec } from '../../model/compartment.js';
import type { EndpointSpec, VlanSpec } from '../../model/endpoint.js';
import type {
  DhcpSpec,
  DnsSpec,
  NatSpec,
  NatTimers,
  NetworkSpec,
  NetworkType,
  OverlaySpec,
  RemoteSubnet,
  StormLimits,
} from '../../model/network.js';
import type { CaptureRequest } from './captures.js';

type NestedFields = 'storm' | 'overlay' | 'nat' | 'dhcp' | 'dns';

/** What `create` takes: the name and type are required, everything else has a default. Fields of `overlay` may stand beside it. */
export interface NetworkRequest
  extends Partial<Omit<NetworkSpec, 'name' | 'type' | 'gateway' | 'uplink' | 'uplinkNetns' | NestedFields>>,
    OverlayRequest {
  name: string;
  type: NetworkType;
  gateway?: string | string[];
  uplink?: string;
  uplinkNetns?: string;
  storm?: Partial<StormLimits>;
  overlay?: OverlayRequest;
  nat?: NatRequest;
  /** true, false, or settings of a service that is on. */
  dhcp?: boolean | Partial<DhcpSpec>;
  dns?: boolean | Partial<DnsSpec>;
}

/** Only the VNI is required; null is the default of a field that can be without value. */
export interface OverlayRequest extends Partial<Omit<OverlaySpec, 'hostVnic' | 'remoteSubnets'>> {
  /** true: with addresses that weft chooses; false: none. */
  hostVnic?: boolean | string | string[] | null;
  remoteSubnets?: (Omit<RemoteSubnet, 'vni'> & { vni?: number | null })[];
}

/** What can be changed of the tunnel of a living network. */
export type OverlayPatch = Pick<
  OverlayRequest,
  'peers' | 'peersClosed' | 'learning' | 'dscp' | 'suppress' | 'remoteSubnets'
>;

export interface NatRequest extends Partial<Omit<NatSpec, 'prefix' | 'timers' | 'ports'>> {
  prefix?: string;
  timers?: Partial<NatTimers>;
  ports?: Partial<NatSpec['ports']>;
}

/** What can be changed of a living network. */
export type NetworkPatch = Partial<
  Pick<NetworkSpec, 'ageingSeconds' | 'controlFrames' | 'macLimit' | 'mtu' | 'reserved' | 'routesTo' | 'advertise'>
> &
  Pick<NetworkRequest, 'storm' | 'dhcp' | 'dns'> &
  OverlayPatch & {
    overlay?: OverlayPatch;
    nat?: Omit<NatRequest, 'ipv6' | 'prefix'>;
  };

export interface CompartmentRequest {
  name: string;
  netns?: string;
  pid?: number;
}

export interface EndpointRequest {
  name: string;
  network: string;
  compartment?: string | null;
  vtep?: string;
  ip?: string | string[];
  mac?: string;
  ifname?: string;
  defaultRoute?: boolean;
  vlan?: VlanSpec | null;
  isolated?: boolean;
  offload?: boolean;
  staticMacs?: string[];
  publish?: string[];
  configure?: boolean;
  aliases?: string[];
}

export type EndpointPatch = Partial<Pick<EndpointSpec, 'isolated' | 'vlan' | 'staticMacs' | 'publish' | 'aliases'>> & {
  /** Of a remote endpoint: the VTEP behind which it is now. */
  vtep?: string;
};

/** Publishes ports of an endpoint, besides those that it publishes already. */
export interface PortRequest {
  endpoint: string;
  /** `[HOSTIP:]HOSTPORT[-END]:PORT[/tcp|udp]`. */
  spec: string;
}

export interface PortView {
  endpoint: string;
  network: string;
  /** Canonical text. */
  spec: string;
  protocol: 'tcp' | 'udp';
  /** null: every address. */
  hostIp: string | null;
  hostFirst: number;
  hostLast: number;
  /** Of the endpoint: where the first one goes. */
  port: number;
  /** Of the endpoint. */
  addresses: string[];
}

export interface NetworkView extends NetworkSpec {
  id: string;
  /** Name of the host vNIC; null for a network without one. */
  hostInterface: string | null;
  /** Addresses of the host vNIC, with prefix length. */
  hostAddresses: string[];
  /** MAC of the gateway, where weft itself is it; on an overlay network the same on every host. */
  gatewayMac: string | null;
  /** MAC that only the router of this host has on an overlay network: what other hosts' remote subnet routes name; else null. */
  routerMac: string | null;
  /** What became of the uplink of the network; null for one that has none. */
  outside: OutsideView | null;
  /** What became of the tunnel of an overlay network, else null. */
  tunnel: TunnelView | null;
  endpoints: string[];
  addresses: { used: number; free: string /* decimal text: an IPv6 subnet has more than a double can hold */ };
}

export interface TunnelView {
  /** `lost`: its VTEP is not there; weft goes on trying. */
  state: 'ready' | 'lost';
  /** Address of the VTEP of this host; null while it is lost and was not asked for. */
  vtep: string | null;
  /** Addresses that get copies of what floods: peers, the group, VTEPs of the cluster. */
  floods: string[];
}

export interface OutsideView {
  /** `lost`: its interface or namespace is gone; weft goes on trying. */
  state: 'ready' | 'lost';
  /** Name of the TAP, or of the interface that was asked for. */
  interface: string | null;
  /** Addresses of which NAT takes ports. */
  external: string[];
  nextHops: string[];
}

export interface CompartmentView extends CompartmentSpec {
  id: string;
  /** Where its namespace is to be found. */
  path: string;
  /** Whether weft made the namespace and will remove it. */
  owned: boolean;
  state: 'ready' | 'gone';
  endpoints: string[];
}

export interface EndpointView extends EndpointSpec {
  id: string;
  /** `degraded`: attached, but its interface is gone or broken; `reason` says why. `remote`: behind another VTEP. */
  state: 'attached' | 'detached' | 'degraded' | 'remote';
  reason: string | null;
  /** Addresses with prefix length, e.g. `10.0.0.2/24`. */
  addresses: string[];
  gateway: string[];
  mtu: number;
  /** Row in the datapath, null while detached. */
  port: number | null;
}

export interface PlanStep {
  action: 'create' | 'update' | 'delete' | 'replace';
  object: 'network' | 'compartment' | 'endpoint' | 'capture';
  name: string;
  /** What changes, for people. */
  detail: string;
}

export interface ApplyResult {
  dryRun: boolean;
  changed: boolean;
  steps: PlanStep[];
}

/** The lab file of contract.md as parsed YAML or JSON, already validated by the API schema. */
export interface LabFile {
  weft: 1;
  networks?: Record<string, Omit<NetworkRequest, 'name'> | null>;
  compartments?: Record<string, Omit<CompartmentRequest, 'name'> | null>;
  endpoints?: Record<string, Omit<EndpointRequest, 'name'>>;
  captures?: Record<string, Omit<CaptureRequest, 'name'>>;
}
