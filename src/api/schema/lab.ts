/** The lab file and what `apply` answers. */
import { Type } from '@sinclair/typebox';
import type { ApplyResult, LabFile } from '../../control/controller/lab-objects.js';
import { CaptureFields } from './capture.js';
import { ByName, Closed, Name, type Of, OneOf, type Same } from './common.js';
import { CompartmentFields } from './compartment.js';
import { EndpointFields } from './endpoint.js';
import { NetworkFields } from './network.js';

export const LabSchema = Closed(
  {
    weft: Type.Literal(1, {
      description: 'Version of the format',
      'x-says': 'must be 1, the version of the lab file format',
    }),
    networks: Type.Optional(ByName(Type.Union([Closed(NetworkFields), Type.Null()]))),
    compartments: Type.Optional(ByName(Type.Union([Closed(CompartmentFields), Type.Null()]))),
    endpoints: Type.Optional(ByName(Closed(EndpointFields))),
    captures: Type.Optional(ByName(Closed(CaptureFields))),
  },
  'A lab file: networks, compartments, endpoints and captures by name',
);

export const ApplyRequestSchema = Closed(
  { lab: LabSchema, dryRun: Type.Optional(Type.Boolean({ description: 'Only plan' })) },
  'A lab to make real',
);

export const ApplyResultSchema = Closed(
  {
    dryRun: Type.Boolean(),
    changed: Type.Boolean(),
    steps: Type.Array(
      Closed({
        action: OneOf(['create', 'update', 'delete', 'replace']),
        object: OneOf(['network', 'compartment', 'endpoint', 'capture']),
        name: Name,
        detail: Type.String({ description: 'What changes, for people' }),
      }),
    ),
  },
  'The plan, and whether it was carried out',
);

true satisfies Same<Of<typeof LabSchema>, LabFile>;
true satisfies Same<Of<typeof ApplyResultSchema>, ApplyResult>;
