/** Opens the sockets of a DNS server in the service namespace: port 53 of a gateway address, bound to the network's device. */
import { LISTEN_TCP, LISTEN_UDP, native } from '../../native/index.js';
import type { Namespace } from '../kernel/kernel.js';
import { check } from '../kernel/kernel-error.js';
import { Listener } from './listener.js';
import type { Responder } from './responder.js';

const DNS_PORT = 53;

export interface OpenServer {
  close(): void;
}

/** What serves one network. Throws `KernelError`; then nothing is left open. */
export type ServeDns = (
  namespace: Namespace,
  ifname: string,
  addresses: readonly string[],
  responder: Responder,
  onError: (error: Error) => void,
) => OpenServer;

export const serveDns: ServeDns = (namespace, ifname, addresses, responder, onError) => {
  const listeners: Listener[] = [];
  const close = () => {
    for (const listener of listeners) listener.close();
  };
  try {
    for (const address of addresses) {
      const udp = openSocket(namespace, LISTEN_UDP, address, ifname);
      let tcp: number;
      try {
        tcp = openSocket(namespace, LISTEN_TCP, address, ifname);
      } catch (error) {
        native.closeFd(udp);
        throw error;
      }
      // From here on the descriptors are Node's.
      native.disownFd(udp);
      native.disownFd(tcp);
      listeners.push(new Listener({ address, udp, tcp }, responder, onError));
    }
  } catch (error) {
    close();
    throw error;
  }
  return { close };
};

function openSocket(namespace: Namespace, kind: number, address: string, ifname: string): number {
  const result = native.openListener(namespace.fd, kind, address, DNS_PORT, ifname);
  return check('bind', `${address} port ${DNS_PORT}`, result);
}
