/** What stands for the DNS servers of all networks at run time: one per daemon, in the `Context`. */
import type { Namespace } from '../kernel/kernel.js';
import type { NameService } from './name-service.js';
import type { OpenServer, ServeDns } from './service-sockets.js';

export interface DnsState {
  readonly service: NameService;
  /** Opens the sockets of one server. */
  readonly serve: ServeDns;
  /** Where they are; null while no network has a server. */
  namespace: Namespace | null;
  /** By network. */
  readonly servers: Map<string, OpenServer>;
}
