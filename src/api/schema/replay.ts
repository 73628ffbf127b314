/** Replays of captures: query and answer. The body is the capture file itself. */
import { Type } from '@sinclair/typebox';
import type { ReplayRequest, ReplayView } from '../../control/controller/captures.js';
import { Closed, Count, Name, type Of, OneOf, type Same, Text } from './common.js';

const MAX_SPEED = 1e6;

export const ReplayQuerySchema = Closed({
  speed: Type.Optional(
    Type.Number({
      exclusiveMinimum: 0,
      maximum: MAX_SPEED,
      description: 'Pace; 1 (the default) is that of the capture',
    }),
  ),
  topSpeed: Type.Optional(Type.Boolean({ description: 'As fast as the datapath takes the frames' })),
  count: Type.Optional(Type.Integer({ minimum: 1, description: 'End after so many frames were injected' })),
  fromInterface: Type.Optional(Text(256, 'Only frames of this interface of the capture')),
  direction: Type.Optional(
    OneOf(
      ['in', 'out', 'any'],
      'Only frames that had come in (the default; also those without a direction) or gone out',
    ),
  ),
});

export const ReplaySchema = Closed(
  {
    endpoint: Name,
    injected: Count,
    bytes: Count,
    superFrames: Type.Number({ minimum: 0, description: 'Those of `injected` that stand for several segments' }),
    dropped: Type.Number({ minimum: 0, description: 'Arrivals of the endpoint dropped meanwhile; see /v1/drops' }),
    skipped: Closed(
      {
        notSelected: Type.Number({ minimum: 0, description: 'Of another interface or direction' }),
        notEthernet: Count,
        cut: Type.Number({ minimum: 0, description: 'Not captured whole (snaplen)' }),
        tooShort: Count,
        tooLong: Type.Number({
          minimum: 0,
          description: 'Longer than the MTU, and no TCP that could be cut into segments',
        }),
      },
      'Frames of the file that were not injected, by reason',
    ),
    seconds: Count,
    ended: OneOf(['end-of-file', 'count', 'stopped']),
  },
  'What a replay did',
);

true satisfies Same<Of<typeof ReplayQuerySchema>, ReplayRequest>;
true satisfies Same<Of<typeof ReplaySchema>, ReplayView>;
