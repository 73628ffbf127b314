/** What weftd is told of its cluster: `cluster` in weft.yaml. */

export interface ClusterOptions {
  /** `http://HOST:PORT` or `https://HOST:PORT` of the members of etcd, all of one kind. */
  etcd: readonly string[];
  /** Files in PEM: who signed the certificates of etcd, and those of weftd. Read anew for every connection. */
  ca: string | null;
  cert: string | null;
  key: string | null;
  user: string | null;
  password: string | null;
  /** Name of this host, which no other one of the cluster has. */
  host: string;
  /** What all keys begin with, without a slash at the end. */
  prefix: string;
  /** A host that etcd has not heard of for so long is gone to the others. */
  leaseSeconds: number;
}
