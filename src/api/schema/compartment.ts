/** Compartments: what a request may say and what an answer looks like. */
import { Type } from '@sinclair/typebox';
import type { CompartmentRequest, CompartmentView } from '../../control/controller/lab-objects.js';
import { Closed, Name, Nullable, type Of, OneOf, Path, type Same } from './common.js';

const Pid = Type.Integer({ minimum: 1, maximum: 4_194_304, description: 'Process whose namespace is adopted' });

/** Everything of a compartment request but its name: the body of a lab file entry. */
export const CompartmentFields = { netns: Type.Optional(Path), pid: Type.Optional(Pid) };

export const CompartmentRequestSchema = Closed(
  { name: Name, ...CompartmentFields },
  'A compartment to create; without netns and pid weft makes and owns /run/netns/NAME',
);

export const CompartmentSchema = Closed(
  {
    name: Name,
    netns: Nullable(Path),
    pid: Nullable(Pid),
    id: Type.String({ description: 'Stable identifier' }),
    path: Type.String({ description: 'Where its namespace is to be found' }),
    owned: Type.Boolean({ description: 'Whether weft made the namespace and will remove it' }),
    state: OneOf(['ready', 'gone']),
    endpoints: Type.Array(Name),
  },
  'A compartment: an isolated network stack, on Linux a network namespace',
);

true satisfies Same<Of<typeof CompartmentRequestSchema>, CompartmentRequest>;
true satisfies Same<Of<typeof CompartmentSchema>, CompartmentView>;
