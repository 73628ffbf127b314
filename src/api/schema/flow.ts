/** Flows: what an answer looks like and what can be asked for. */
import { Type } from '@sinclair/typebox';
import type { FlowFilter, FlowQuery, FlowsDeleted, FlowView } from '../../control/controller.js';
import { FLOW_STATES } from '../flow-states.js';
import { Closed, Count, Name, Nullable, type Of, OneOf, type Same, Text } from './common.js';

const Place = (port: string) =>
  Closed({ address: Type.String(), port: Type.Integer({ minimum: 0, maximum: 65535, description: port }) });

const Id = Text(32, 'Id of a flow');

export const FlowSchema = Closed(
  {
    id: { ...Id, description: 'Names this flow and no other one ever' },
    network: Name,
    endpoint: Nullable(Type.String({ description: 'Endpoint that has the inside address; null = none has it' })),
    protocol: Type.String({ description: 'tcp, udp, icmp, icmpv6, sctp or a number' }),
    state: OneOf(FLOW_STATES),
    inside: Place('Port, or identifier of an ICMP query'),
    outside: Place('What the port or identifier is translated to'),
    remote: Closed({
      address: Type.String(),
      port: Nullable(Type.Integer({ minimum: 0, maximum: 65535, description: 'null for an ICMP query' })),
    }),
    framesOut: Type.Number({ description: 'From inside, up to 2^32; a super-frame is one' }),
    bytesOut: Count,
    framesIn: Type.Number({ description: 'To inside, up to 2^32' }),
    bytesIn: Count,
    ageSeconds: Count,
    expiresSeconds: Type.Number({ description: 'Seconds until it is forgotten if nothing more comes' }),
  },
  'A flow through the NAT of a network',
);

const filters = {
  network: Type.Optional(Name),
  endpoint: Type.Optional(Name),
  protocol: Type.Optional(Text(8, 'tcp, udp, icmp, icmpv6, sctp or a number')),
  state: Type.Optional(OneOf(FLOW_STATES)),
};

export const FlowsQuerySchema = Closed({
  ...filters,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, description: 'Flows at most; 1000 unless given' })),
  after: Type.Optional({ ...Id, description: 'Id of the last flow of the page before' }),
});

export const FlowsDeleteQuerySchema = Closed({
  ...filters,
  all: Type.Optional(Type.Boolean({ description: 'Needed where nothing else says which flows are meant' })),
});

export const FlowsDeletedSchema = Closed({ deleted: Count }, 'How many flows were ended');

true satisfies Same<Of<typeof FlowSchema>, FlowView>;
true satisfies Same<Of<typeof FlowsQuerySchema>, FlowQuery>;
true satisfies Same<Of<typeof FlowsDeleteQuerySchema>, FlowFilter & { all?: boolean }>;
true satisfies Same<Of<typeof FlowsDeletedSchema>, FlowsDeleted>;
