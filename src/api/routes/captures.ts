/** /v1/captures: to a file that the daemon writes, or streamed to the caller. */
import type { CaptureStream } from '../../control/controller/captures.js';
import { defineRoute } from '../route.js';
import type { StreamReply } from '../stream.js';

export const PCAPNG_TYPE = 'application/x-pcapng';
export const PCAP_TYPE = 'application/vnd.tcpdump.pcap';

/** Header with the name of a streamed capture, by which it can be stopped. */
export const CAPTURE_NAME_HEADER = 'weft-capture';
/** Trailers of a streamed capture. */
export const CAPTURE_FRAMES_TRAILER = 'weft-frames';
export const CAPTURE_LOST_TRAILER = 'weft-lost';

export const captureRoutes = [
  defineRoute({
    method: 'GET',
    path: '/v1/captures',
    operation: 'listCaptures',
    summary: 'All captures, by name',
    response: { kind: 'list', schema: 'Capture' },
    handle: ({ controller }) => controller.listCaptures(),
  }),
  defineRoute({
    method: 'POST',
    path: '/v1/captures',
    operation: 'startCapture',
    summary: 'Start a capture to a file',
    body: 'CaptureRequest',
    status: 201,
    response: { kind: 'one', schema: 'Capture' },
    refuses: ['not-found', 'already-exists', 'conflict', 'exhausted', 'kernel-refused', 'unavailable'],
    handle: ({ controller, body }) => controller.startCapture(body),
  }),
  defineRoute({
    method: 'POST',
    path: '/v1/captures/stream',
    operation: 'streamCapture',
    summary: `Capture into the answer; ${CAPTURE_NAME_HEADER} names it, trailers have the numbers`,
    body: 'CaptureRequest',
    response: { kind: 'stream', contentTypes: [PCAPNG_TYPE, PCAP_TYPE] },
    refuses: ['not-found', 'already-exists', 'conflict', 'exhausted', 'unavailable'],
    handle: async ({ controller, body }) => captureReply(await controller.streamCapture(body)),
  }),
  defineRoute({
    method: 'GET',
    path: '/v1/captures/:name',
    operation: 'getCapture',
    summary: 'One capture',
    response: { kind: 'one', schema: 'Capture' },
    refuses: ['not-found'],
    handle: ({ controller, name }) => controller.getCapture(name),
  }),
  defineRoute({
    method: 'POST',
    path: '/v1/captures/:name/stop',
    operation: 'stopCapture',
    summary: 'Stop a capture; answers with its final numbers',
    response: { kind: 'one', schema: 'Capture' },
    refuses: ['not-found', 'unavailable'],
    handle: ({ controller, name }) => controller.stopCapture(name),
  }),
  defineRoute({
    method: 'DELETE',
    path: '/v1/captures/:name',
    operation: 'deleteCapture',
    summary: 'Stop a capture; the file stays',
    status: 204,
    response: { kind: 'nothing' },
    refuses: ['not-found', 'unavailable'],
    handle: async ({ controller, name }) => {
      await controller.stopCapture(name);
    },
  }),
];

function captureReply(stream: CaptureStream): StreamReply {
  return {
    contentType: stream.view.format === 'pcap' ? PCAP_TYPE : PCAPNG_TYPE,
    headers: { [CAPTURE_NAME_HEADER]: stream.view.name },
    trailerNames: [CAPTURE_FRAMES_TRAILER, CAPTURE_LOST_TRAILER],
    async run(sink) {
      void sink.whenClosed.then(() => stream.stop());
      try {
        for await (const chunk of stream.chunks) {
          if (!(await sink.write(chunk))) break;
        }
      } finally {
        stream.stop();
      }
    },
    trailers() {
      const { frames, lost } = stream.view;
      return { [CAPTURE_FRAMES_TRAILER]: String(frames), [CAPTURE_LOST_TRAILER]: String(lost) };
    },
  };
}
