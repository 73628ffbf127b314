/** What can only be looked at: MAC table, flows, drops, statistics, events, status. */
import { Type } from '@sinclair/typebox';
import type { DropView, FdbEntry, StatsView, StatusView, VtepView, WeftEvent } from '../../control/controller.js';
import { Closed, Count, Name, Nullable, type Of, OneOf, type Same } from './common.js';

export const FdbEntrySchema = Closed(
  {
    network: Name,
    vlan: Type.Integer({ description: '0 = untagged' }),
    mac: Type.String(),
    endpoint: Type.String(),
    kind: OneOf(['learned', 'static', 'host']),
    vtep: Nullable(Type.String({ description: 'VTEP behind which it is; null: on this host' })),
    origin: OneOf(['learned', 'static', 'cluster'], 'Who said where it is'),
    ageSeconds: Type.Number({ description: 'Seconds since the last frame from this MAC' }),
  },
  'An entry of the MAC table',
);

export const VtepSchema = Closed(
  {
    vtep: Type.String({ description: 'Address' }),
    local: Type.String({ description: 'VTEP of this host that has to do with it' }),
    networks: Type.Array(Type.String(), { description: 'Overlay networks that it is an end of, as far as is known' }),
    origin: OneOf(['local', 'static', 'cluster', 'learned'], 'local: of this host; else who said that it is there'),
    underlay: OneOf(['socket', 'tap']),
    udpPort: Type.Integer(),
    netns: Nullable(Type.String({ description: 'Namespace that the underlay is in' })),
    state: OneOf(['ready', 'lost']),
    rxFrames: Type.Number({ description: 'Encapsulated frames from there' }),
    rxBytes: Count,
    txFrames: Type.Number({ description: 'Encapsulated frames to there' }),
    txBytes: Count,
    lastHeardSeconds: Nullable(Type.Number({ description: 'Since the last frame from there' })),
  },
  'An end of VXLAN tunnels',
);

export const DropSchema = Closed(
  {
    reason: Type.String(),
    scope: OneOf(['frame', 'departure']),
    stage: Type.String(),
    frames: Count,
    sentence: Type.String({ description: 'What happened' }),
    hint: Type.String({ description: 'What to do about it' }),
    endpoints: Type.Array(Closed({ endpoint: Type.String(), frames: Count })),
  },
  'A reason for which frames are dropped, and how often that happened',
);

const EndpointStatsSchema = Closed({
  endpoint: Type.String({ description: 'Name of an endpoint, or what serves a whole network, such as host/NETWORK' }),
  network: Type.String({ description: 'Empty for a VTEP, which networks share' }),
  compartment: Nullable(Name),
  state: OneOf(['attached', 'detached', 'degraded', 'remote']),
  rxFrames: Type.Number({ description: 'From the endpoint into the network' }),
  rxBytes: Count,
  txFrames: Type.Number({ description: 'From the network to the endpoint' }),
  txBytes: Count,
  rxDropped: Count,
  txDropped: Count,
});

function TurnBuckets(description: string) {
  const upTo = Nullable(Type.Integer({ description: 'Upper limit, itself included; null = none' }));
  return Type.Array(Closed({ upTo, turns: Count }), { description });
}

const DhcpCountSchema = Closed({
  network: Type.String(),
  what: Type.String({ description: 'A message that came or was sent (discover, ack), or why one was left alone' }),
  isIgnored: Type.Boolean({ description: 'Whether it is such a reason' }),
  count: Count,
});

export const StatsSchema = Closed(
  {
    time: Type.String({ description: 'RFC 3339' }),
    endpoints: Type.Array(EndpointStatsSchema),
    dhcp: Type.Array(DhcpCountSchema, { description: 'What the DHCP servers did since the daemon started' }),
    dns: Closed({
      queries: Count,
      local: Type.Number({ description: 'Answered from the names of networks' }),
      forwarded: Type.Number({ description: 'Answered by other servers, or by what is kept of their answers' }),
      failed: Type.Number({ description: 'Nobody answered, or too many questions waited' }),
      refused: Type.Number({ description: 'Malformed, of a kind that is not served, or from outside of the network' }),
      ignored: Type.Number({ description: 'Noise, or more than one client may ask' }),
      asked: Type.Number({ description: 'Questions sent to other servers' }),
      cached: Type.Number({ description: 'Answers of other servers that are kept now' }),
    }),
    datapath: Closed({
      turns: Count,
      arrivals: Count,
      originated: Count,
      forwarded: Count,
      consumed: Count,
      dropped: Count,
      departures: Count,
      sent: Count,
      transmitDropped: Count,
      macs: Count,
      macMoves: Count,
      macEvictions: Count,
      flows: Type.Number({ description: 'Flows of the NAT now' }),
      flowMappings: Type.Number({ description: 'Mappings of the NAT now' }),
      flowsOpened: Type.Number({ description: 'Flows opened since the worker started' }),
      flowsExpired: Type.Number({ description: 'Flows that ended by their timer' }),
      flowsDeleted: Type.Number({ description: 'Flows that ended by request, or with their network' }),
      segmented: Type.Number({ description: 'Super-frames that had to be cut for a port' }),
      completed: Type.Number({ description: 'Frames whose checksum had to be completed for a port' }),
      joinsRefused: Type.Number({
        description: 'Times that a kernel refused joined datagrams, so that a VTEP sends singly since',
      }),
      captureLost: Type.Number({ description: 'Copies that captures lost because their ring was full' }),
      idleTurns: Type.Number({ description: 'Turns without a frame' }),
      wakeUps: Type.Number({ description: 'Sleeps that ended because of frames or of the control thread' }),
      busySeconds: Type.Number({ description: 'Time spent on frames' }),
      asleepSeconds: Type.Number({ description: 'Time spent asleep' }),
      pollingSeconds: Type.Number({ description: 'Time spent looking for frames without sleeping' }),
      longestTurnMicros: Type.Number({ description: 'Longest turn since the daemon started' }),
      longestPauseMicros: Type.Number({ description: 'Longest time given to the control thread between two turns' }),
      bursts: TurnBuckets('Turns with frames, by frames'),
      turnTimes: TurnBuckets('Turns with frames, by duration in microseconds'),
    }),
  },
  'Counters of all endpoints and of the datapath',
);

export const EventSchema = Closed(
  {
    sequence: Type.Integer({ description: 'Rises by one per event' }),
    time: Type.String({ description: 'RFC 3339' }),
    type: Type.String({ description: 'For example endpoint-attached' }),
    object: OneOf(['network', 'compartment', 'endpoint', 'capture', 'daemon']),
    name: Type.String(),
    message: Type.String(),
  },
  'Something that happened',
);

export const StatusSchema = Closed(
  {
    version: Type.String(),
    instance: Type.String(),
    pid: Type.Integer(),
    startedAt: Type.String({ description: 'RFC 3339' }),
    uptimeSeconds: Type.Number(),
    socket: Type.String(),
    stateDir: Type.String(),
    runDir: Type.String(),
    program: Closed({ desired: Type.Integer(), applied: Type.Integer() }),
    worker: OneOf(['running', 'restarting']),
    networks: Count,
    compartments: Count,
    endpoints: Closed({ total: Count, attached: Count, detached: Count, degraded: Count, remote: Count }),
    captures: Count,
    memory: Closed({ residentBytes: Count }),
    cluster: Closed({
      state: OneOf(['none', 'joining', 'joined', 'alone', 'refused']),
      reason: Type.String({ description: 'Why it is not joined' }),
    }),
    warnings: Type.Array(Type.String({ description: 'What an operator should know' })),
  },
  'How the daemon is doing',
);

true satisfies Same<Of<typeof FdbEntrySchema>, FdbEntry>;
true satisfies Same<Of<typeof VtepSchema>, VtepView>;
true satisfies Same<Of<typeof DropSchema>, DropView>;
true satisfies Same<Of<typeof StatsSchema>, StatsView>;
true satisfies Same<Of<typeof EventSchema>, WeftEvent>;
true satisfies Same<Of<typeof StatusSchema>, StatusView>;
