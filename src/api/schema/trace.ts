/** Traces: what would happen to a frame, stage by stage. */
import { Type } from '@sinclair/typebox';
import type { TraceRequest, TraceView } from '../../control/controller.js';
import { Address, Closed, Count, Mac, Name, Nullable, type Of, OneOf, type Same, Text } from './common.js';

const Port = Type.Integer({ minimum: 0, maximum: 65535 });

export const TraceRequestSchema = Closed(
  {
    from: Type.Optional(Name),
    fromUplink: Type.Optional(Name),
    fromVtep: Type.Optional(Address),
    network: Type.Optional(Name),
    frame: Type.Optional(
      Type.String({
        pattern: '^([0-9a-fA-F]{2}){14,65600}$',
        maxLength: 131200,
        description: 'A whole Ethernet frame in hexadecimal, instead of a description',
        'x-says': 'must be a whole Ethernet frame in hexadecimal',
      }),
    ),
    source: Type.Optional(Address),
    to: Type.Optional(Address),
    toMac: Type.Optional(Mac),
    protocol: Type.Optional(OneOf(['tcp', 'udp', 'icmp'], 'icmp (an echo request) unless given')),
    port: Type.Optional(Port),
    sourcePort: Type.Optional(Port),
    flags: Type.Optional(Text(8, 'TCP flags as tcpdump writes them: S, SA, A, F, R, P; S unless given')),
    ttl: Type.Optional(Type.Integer({ minimum: 1, maximum: 255 })),
    payloadBytes: Type.Optional(Type.Integer({ minimum: 0, maximum: 65000 })),
  },
  'A frame to follow: from an endpoint, from the uplink of a network, or from another VTEP through the tunnel of a network',
);

export const TraceSchema = Closed(
  {
    from: Type.String(),
    frame: Type.String({ description: 'The frame in words' }),
    steps: Type.Array(
      Closed({ stage: Type.String(), says: Type.Array(Type.String()) }, 'What one stage of the datapath did, and why'),
    ),
    fate: OneOf(['forwarded', 'consumed', 'dropped']),
    drop: Nullable(Closed({ reason: Type.String(), sentence: Type.String(), hint: Type.String() })),
    departures: Type.Array(
      Closed({
        to: Type.String({ description: 'Endpoint, or what else the port belongs to' }),
        frames: Count,
        bytes: Count,
        frame: Type.String(),
      }),
    ),
  },
  'What would happen to a frame',
);

true satisfies Same<Of<typeof TraceRequestSchema>, TraceRequest>;
true satisfies Same<Of<typeof TraceSchema>, TraceView>;
