/** Ways for the datapath worker to fail on purpose, to try out that it is replaced. */
import type { WorkerFault } from '../src/datapath/program.js';

/** What `weftd --worker-fault` asks for. */
export function fail(how: WorkerFault): never {
  if (how === 'throw') throw new Error('a fault was injected: throw');
  if (how === 'exit') process.exit(1);
  for (;;) {
    // Until the control thread loses patience.
  }
}
