/** The hosts that overlay networks are shared with. */
import { Type } from '@sinclair/typebox';
import type { ClusterView } from '../../control/controller.js';
import { Closed, Count, Name, Nullable, type Of, OneOf, type Same } from './common.js';

const ClusterHostSchema = Closed({
  host: Type.String(),
  state: OneOf(['here', 'there', 'doubtful', 'gone']),
  version: Type.String({ description: 'Of its weftd; empty when it is gone' }),
  since: Type.String({ description: 'RFC 3339; empty when it is gone' }),
  networks: Type.Array(Closed({ network: Name, vtep: Type.String() })),
  endpoints: Count,
  addresses: Type.Number({ description: 'Addresses that belong to its endpoints' }),
});

export const ClusterSchema = Closed(
  {
    host: Nullable(Type.String({ description: 'Name of this host; null: weftd has no cluster' })),
    state: OneOf(['none', 'joining', 'joined', 'alone', 'refused']),
    reason: Type.String({ description: 'Why it is not joined' }),
    since: Type.String({ description: 'RFC 3339: since when the state is so' }),
    etcd: Type.Array(Type.String()),
    member: Nullable(Type.String({ description: 'Member of etcd that is spoken to' })),
    prefix: Type.String({ description: 'What all keys begin with' }),
    revision: Count,
    keys: Count,
    hosts: Type.Array(ClusterHostSchema),
    missing: Type.Array(Closed({ network: Name, reason: Type.String() }), {
      description: 'Networks of the cluster that this host cannot have',
    }),
  },
  'The cluster as this host sees it',
);

true satisfies Same<Of<typeof ClusterSchema>, ClusterView>;
