/**
 * /v1/events: those that are still kept, or a stream. A stream has no queue of its own: it remembers the number of the
 * last event it sent and reads on from the daemon's history, so a slow reader costs nothing.
 *
 * Whoever asks from a number on is told what is missing: an event of type `events-missed`, whose number is that of the last
 * one missing. It is no event of the history and is made for this reader. A number that the daemon has not got to yet
 * (another state directory) is told as well, and the reader gets what comes from now on.
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
    handle: ({ controller, query, accept, lastEventId }) => {
      const sse = accept.includes(SSE_TYPE);
      const follows = query.follow ?? (sse || accept.includes(JSON_LINES_TYPE));
      // A browser repeats the request as it was when a connection broke; the header is the newer one of the two.
      const since = (sse ? numberOf(lastEventId) : null) ?? query.since;
      if (!follows) return eventsAfter(controller, since ?? 0);
      return eventsReply(controller, sse ? sseText : jsonLine, sse ? SSE_TYPE : JSON_LINES_TYPE, since);
    },
  }),
];

function numberOf(lastEventId: string): number | null {
  return /^\d{1,15}$/.test(lastEventId) ? Number(lastEventId) : null;
}

function lastNumber(controller: Controller): number {
  return controller.eventsSince(0).at(-1)?.sequence ?? 0;
}

/** Events after `since`, and before them what is to be said about those that are not there. 0 asks for what is kept. */
function eventsAfter(controller: Controller, since: number): WeftEvent[] {
  const events = controller.eventsSince(since);
  const [first] = events;
  if (first === undefined) {
    const last = lastNumber(controller);
    return since > last ? [ahead(since, last)] : [];
  }
  const missed = first.sequence - since - 1;
  return missed > 0 && since > 0 ? [gap(first, missed), ...events] : events;
}

type Print = (event: WeftEvent) => string;

const jsonLine: Print = (event) => `${JSON.stringify(event)}\n`;
const sseText: Print = (event) => `id: ${event.sequence}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;

function eventsReply(controller: Controller, print: Print, contentType: string, since?: number): StreamReply {
  return {
    contentType,
    headers: {},
    trailerNames: [],
    run: (sink) => follow(controller, sink, print, since ?? lastNumber(controller)),
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
      for (const event of eventsAfter(controller, cursor)) {
        cursor = event.sequence;
        if (!(await sink.write(print(event)))) return;
      }
      await Promise.race([news, sink.whenClosed]);
    }
  } finally {
    forget();
  }
}

/** Tells a reader what it has missed, in the form of an event. */
function gap(next: WeftEvent, missed: number): WeftEvent {
  const which = missed === 1 ? `event ${next.sequence - 1} is` : `${missed} events before ${next.sequence} are`;
  return missing(next.sequence - 1, next.time, `${which} not kept any more`);
}

/** Tells a reader that it knows numbers which this daemon has not given out. */
function ahead(since: number, last: number): WeftEvent {
  const message = `no event ${since} yet, the last one is ${last}: the events known before are of another state directory`;
  return missing(last, new Date().toISOString(), message);
}

function missing(sequence: number, time: string, message: string): WeftEvent {
  return { sequence, time, type: 'events-missed', object: 'daemon', name: 'weftd', message };
}
