/** /v1/endpoints/:name/replay: a capture file is the body, and its frames are injected while it comes. */
import { defineRoute } from '../route.js';
import { PCAP_TYPE, PCAPNG_TYPE } from './captures.js';

export const replayRoutes = [
  defineRoute({
    method: 'POST',
    path: '/v1/endpoints/:name/replay',
    operation: 'replayCapture',
    summary:
      'Inject the frames of a capture file (pcapng or pcap) as if the endpoint had sent them; answered at its end',
    upload: ['application/octet-stream', PCAPNG_TYPE, PCAP_TYPE],
    query: 'ReplayQuery',
    response: { kind: 'one', schema: 'Replay' },
    refuses: ['not-found', 'conflict', 'exhausted', 'unavailable'],
    async handle({ controller, server, name, query, upload, onGone }) {
      const end = new AbortController();
      const forgets = [server.onStop(() => end.abort()), onGone(() => end.abort())];
      try {
        return await controller.replay(name, query, upload, end.signal);
      } finally {
        for (const forget of forgets) forget();
      }
    },
  }),
  defineRoute({
    method: 'DELETE',
    path: '/v1/endpoints/:name/replay',
    operation: 'stopReplay',
    summary: 'End the replay into an endpoint; it is answered with what was done',
    status: 204,
    response: { kind: 'nothing' },
    refuses: ['not-found'],
    handle: ({ controller, name }) => controller.stopReplay(name),
  }),
];
