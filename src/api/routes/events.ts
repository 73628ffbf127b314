/**
 * /v1/events: those that are still kept, or a stream. A stream has no queue of its own: it remembers the number of the
 * last event it sent and reads on from the daemon's history, so a slow reader costs nothing; what the history forgot
 * meanwhile is told as a gap.
 */
import type { Controller, WeftEvent } from '../../control/controller.js';
import { defineRoute } from '../route.js';
import type { StreamReply, StreamSink } from '../stream.js';

export const SSE_TYPE = 'text/event-stream';
export const JSON_LINES_TYPE = 'application/x-ndjson';

export const eventRoutes = [
  defineRoute({
    method: 'GET',
    path: '/v1/events',
    operation: 'listEvents',
    summary: 'Events that are still kept; with follow (or an Accept for SSE or JSON lines) a stream of new ones',
    query: 'EventsQuery',
    response: { kind: 'list', schema: 'Event' },
    refuses: ['unavailable'],
    handle: ({ controller, query, accept }) => {
      const sse = accept.includes(SSE_TYPE);
      const follows = query.follow ?? (sse || accept.includes(JSON_LINES_TYPE));
      if (!follows) return controller.eventsSince(query.since ?? 0);
      return eventsReply(controller, sse ? sseText : jsonLine, sse ? SSE_TYPE : JSON_LINES_TYPE, query.since);
    },
  }),
];

type Print = (event: WeftEvent) => string;

const jsonLine: Print = (event) => `${JSON.stringify(event)}\n`;
const sseText: Print = (event) => `id: ${event.sequence}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;

function eventsReply(controller: Controller, print: Print, contentType: string, since?: number): StreamReply {
  const last = controller.eventsSince(0).at(-1)?.sequence ?? 0;
  return {
    contentType,
    headers: {},
    trailerNames: [],
    run: (sink) => follow(controller, sink, print, since ?? last),
    trailers: () => ({}),
  };
}

async function follow(controller: Controller, sink: StreamSink, print: Print, since: number): Promise<void> {
  let cursor = since;
  let wake: () => void = () => {};
  const forget = controller.onEvent(() => wake());
  try {
    while (!sink.closed) {
      const news = new Promise<void>((resolve) => {
        wake = resolve;
      });
      for (const event of controller.eventsSince(cursor)) {
        const missed = event.sequence - cursor - 1;
        if (missed > 0 && cursor > 0) await sink.write(print(gap(event, missed)));
        cursor = event.sequence;
        if (!(await sink.write(print(event)))) return;
      }
      await Promise.race([news, sink.whenClosed]);
    }
  } finally {
    forget();
  }
}

/** Tells a slow reader what it has missed, in the form of an event. */
function gap(next: WeftEvent, missed: number): WeftEvent {
  const message = `${missed} events were forgotten before this client read them`;
  return { ...next, sequence: next.sequence - 1, type: 'events-missed', object: 'daemon', name: 'weftd', message };
}
