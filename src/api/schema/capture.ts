/** Captures: what a request may say and what an answer looks like. */
import { Type } from '@sinclair/typebox';
import type { CaptureRequest, CaptureView } from '../../control/controller/captures.js';
import { Closed, Count, Name, Nullable, type Of, OneOf, Path, type Same, Text } from './common.js';

const Format = OneOf(['pcapng', 'pcap'], 'File format');

/** Everything of a capture request but its name: the body of a lab file entry. */
export const CaptureFields = {
  network: Type.Optional(Name),
  endpoint: Type.Optional(Name),
  all: Type.Optional(Type.Boolean({ description: 'Every endpoint of every network' })),
  underlay: Type.Optional(Type.Boolean({ description: 'Outer frames, at the VTEP of the network or at all' })),
  file: Type.Optional(Path),
  format: Type.Optional(Format),
  count: Type.Optional(
    Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'Ends after N frames' }),
  ),
  duration: Type.Optional(
    Type.Number({ exclusiveMinimum: 0, maximum: 2_147_483, description: 'Ends after N seconds' }),
  ),
  snaplen: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 262144, description: 'Bytes kept of each frame; 0 = all' }),
  ),
  filter: Type.Optional(
    Type.String({
      maxLength: 4096,
      pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
      description: 'Filter expression; empty = everything',
      'x-says': 'must be at most 4096 characters without control characters',
    }),
  ),
  drops: Type.Optional(Type.Boolean({ description: 'Also frames that were dropped, with the reason' })),
  rotateSize: Type.Optional(
    Type.Integer({
      minimum: 65536,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'Bytes of a file after which the capture goes on in the next one; earlier ones are numbered',
    }),
  ),
  rotateFiles: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1000, description: 'Files kept, the present one included; absent = all' }),
  ),
};

export const CaptureRequestSchema = Closed({ name: Type.Optional(Name), ...CaptureFields }, 'A capture to start');

export const CaptureSchema = Closed(
  {
    name: Name,
    network: Nullable(Name),
    endpoint: Nullable(Name),
    all: Type.Boolean(),
    underlay: Type.Boolean({ description: 'Outer frames of tunnels' }),
    file: Nullable(Text(4096, 'Path; null for a stream')),
    format: Format,
    filter: Type.String(),
    snaplen: Type.Integer(),
    drops: Type.Boolean(),
    rotateSize: Nullable(Type.Integer()),
    rotateFiles: Nullable(Type.Integer()),
    files: Type.Array(Type.String(), {
      description: 'What was written and is kept, oldest first; of very many the newest',
    }),
    state: OneOf(['running', 'finished', 'failed']),
    reason: Nullable(Type.String({ description: 'Why it ended' })),
    frames: Count,
    bytes: Count,
    lost: Type.Number({ description: 'Frames that found the ring full' }),
    startedAt: Type.String({ description: 'RFC 3339' }),
  },
  'A capture',
);

true satisfies Same<Of<typeof CaptureRequestSchema>, CaptureRequest>;
true satisfies Same<Of<typeof CaptureSchema>, CaptureView>;
