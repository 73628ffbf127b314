/** Published ports: what a request may say and what an answer looks like. */
import { Type } from '@sinclair/typebox';
import type { PortRequest, PortView } from '../../control/controller/lab-objects.js';
import { Closed, Name, Nullable, type Of, OneOf, type Same, Text } from './common.js';

const Spec = Text(128, '[HOSTIP:]HOSTPORT[-END]:PORT[/tcp|udp], for example 8080:80/tcp');
const Port = Type.Integer({ minimum: 1, maximum: 65535, description: 'Port' });

export const PortRequestSchema = Closed({ endpoint: Name, spec: Spec }, 'Ports to publish');

export const PortSchema = Closed(
  {
    endpoint: Name,
    network: Name,
    spec: Spec,
    protocol: OneOf(['tcp', 'udp']),
    hostIp: Nullable(Type.String({ description: 'Address of the outside; null = every one' })),
    hostFirst: Port,
    hostLast: Port,
    port: { ...Port, description: 'Port of the endpoint that hostFirst leads to' },
    addresses: Type.Array(Type.String(), { description: 'Of the endpoint' }),
  },
  'A published port, or a range of them',
);

export const PortsQuerySchema = Closed({ endpoint: Type.Optional(Name), spec: Type.Optional(Spec) });

true satisfies Same<Of<typeof PortRequestSchema>, PortRequest>;
true satisfies Same<Of<typeof PortSchema>, PortView>;
