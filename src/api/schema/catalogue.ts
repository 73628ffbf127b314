/**
 * Every schema by the name that routes, the OpenAPI document and the CLI know it by.
 *
 * Loading this file loads TypeBox, which costs more than 100 ms: only validation and OpenAPI do, when they are first
 * needed. Everybody else imports its types.
 */
import { Type } from '@sinclair/typebox';
import type { ProblemDocument } from '../errors.js';
import { CaptureRequestSchema, CaptureSchema } from './capture.js';
import { ClusterSchema } from './cluster.js';
import { Closed, Name, type Of, type Same } from './common.js';
import { CompartmentRequestSchema, CompartmentSchema } from './compartment.js';
import { AttachSchema, EndpointPatchSchema, EndpointRequestSchema, EndpointSchema } from './endpoint.js';
import { FlowSchema, FlowsDeletedSchema, FlowsDeleteQuerySchema, FlowsQuerySchema } from './flow.js';
import { ApplyRequestSchema, ApplyResultSchema, LabSchema } from './lab.js';
import { NetworkPatchSchema, NetworkRequestSchema, NetworkSchema } from './network.js';
import { DropSchema, EventSchema, FdbEntrySchema, StatsSchema, StatusSchema, VtepSchema } from './observation.js';
import { PortRequestSchema, PortSchema, PortsQuerySchema } from './port.js';
import { ReplayQuerySchema, ReplaySchema } from './replay.js';
import { TraceRequestSchema, TraceSchema } from './trace.js';

const ProblemSchema = Closed(
  {
    type: Type.Literal('about:blank'),
    code: Type.Unsafe<ProblemDocument['code']>({ type: 'string', description: 'Stable' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What was wrong this time' }),
    remedy: Type.String({ description: 'What to do about it' }),
    problems: Type.Array(Closed({ path: Type.String(), code: Type.String(), message: Type.String() })),
  },
  'RFC 9457 problem details',
);
true satisfies Same<Of<typeof ProblemSchema>, ProblemDocument>;

export const SCHEMAS = {
  Name,
  Problem: ProblemSchema,
  NetworkRequest: NetworkRequestSchema,
  NetworkPatch: NetworkPatchSchema,
  Network: NetworkSchema,
  CompartmentRequest: CompartmentRequestSchema,
  Compartment: CompartmentSchema,
  EndpointRequest: EndpointRequestSchema,
  EndpointPatch: EndpointPatchSchema,
  Endpoint: EndpointSchema,
  Attach: AttachSchema,
  PortRequest: PortRequestSchema,
  Port: PortSchema,
  CaptureRequest: CaptureRequestSchema,
  Capture: CaptureSchema,
  Replay: ReplaySchema,
  TraceRequest: TraceRequestSchema,
  Trace: TraceSchema,
  Vtep: VtepSchema,
  Cluster: ClusterSchema,
  FdbEntry: FdbEntrySchema,
  Flow: FlowSchema,
  FlowsDeleted: FlowsDeletedSchema,
  Drop: DropSchema,
  Stats: StatsSchema,
  Event: EventSchema,
  Status: StatusSchema,
  Lab: LabSchema,
  ApplyRequest: ApplyRequestSchema,
  ApplyResult: ApplyResultSchema,
  Empty: Closed({}, 'No field'),
  ForceQuery: Closed({ force: Type.Optional(Type.Boolean({ description: 'Also when something still needs it' })) }),
  NetworkQuery: Closed({ network: Type.Optional(Name) }),
  PortsQuery: PortsQuerySchema,
  FlowsQuery: FlowsQuerySchema,
  FlowsDeleteQuery: FlowsDeleteQuerySchema,
  ReplayQuery: ReplayQuerySchema,
  EventsQuery: Closed({
    since: Type.Optional(Type.Integer({ minimum: 0, description: 'Only events with a greater sequence number' })),
    follow: Type.Optional(
      Type.Boolean({ description: 'Stream: JSON lines, or SSE if Accept asks for text/event-stream' }),
    ),
  }),
};

export type SchemaName = keyof typeof SCHEMAS;
export type SchemaTypes = { [Schema in SchemaName]: Of<(typeof SCHEMAS)[Schema]> };
