/** weft events [--follow] */
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { CliError } from '../failure.js';
import { integerOption } from '../options.js';
import type { Session } from '../session.js';

type WeftEvent = SchemaTypes['Event'];

interface EventsOptions {
  follow?: boolean;
  since?: number;
}

export function addEventsCommand(program: Command, session: Session): void {
  program
    .command('events')
    .description('what has happened; with --follow also what happens from now on, until Ctrl-C')
    .option('-f, --follow', 'go on with new events; with --json one document per line')
    .addOption(integerOption('--since <N>', 'only events after this sequence number', 0, Number.MAX_SAFE_INTEGER))
    .action(async (options: EventsOptions) => {
      const since = options.since ?? 0;
      if (options.follow) return follow(session, since);
      const call = { what: 'cannot list the events', method: 'GET', path: `/v1/events?since=${since}` } as const;
      const events = await session.client.call<WeftEvent[]>(call);
      session.answer(events, events.length === 0 ? 'no events' : events.map(eventText).join('\n'));
    });
}

async function follow(session: Session, since: number): Promise<void> {
  const what = 'cannot follow the events';
  const path = `/v1/events?follow=true&since=${since}`;
  const response = await session.client.open({ what, method: 'GET', path, accept: 'application/x-ndjson' });
  let interrupted = false;
  const forget = session.world.onInterrupt(() => {
    interrupted = true;
    response.destroy();
  });
  const lines = createInterface({ input: response });
  // readline notices an orderly end only; these end the loop below when the daemon dies or Ctrl-C is pressed.
  response.once('close', () => lines.close());
  response.on('error', () => lines.close());
  try {
    for await (const line of lines) {
      session.print(session.isJson ? line : eventText(JSON.parse(line) as WeftEvent));
    }
  } catch (error) {
    if (!response.destroyed) throw error;
  } finally {
    forget();
  }
  if (!interrupted) throw new CliError('the stream of events has ended', 'weftd has stopped', 'start it again');
}

/** `17  2026-10-12 14:03:22  endpoint-attached    endpoint web-front attached to compartment web as eth0`. */
function eventText(event: WeftEvent): string {
  const time = event.time.replace('T', ' ').replace(/\.\d+Z$/, 'Z');
  return `${String(event.sequence).padStart(6)}  ${time}  ${event.type.padEnd(22)}  ${event.message}`;
}
