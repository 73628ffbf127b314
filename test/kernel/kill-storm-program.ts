/**
 * Child process of kill-storm.test.ts: makes and removes namespaces and TAPs until it is killed, and writes a line before each.
 * argv: runDir, prefix.
 */
import { createLinuxKernel } from '../../src/control/kernel/linux-kernel.js';
import { tapRequest } from './scratch.js';

const [runDir = '', prefix = ''] = process.argv.slice(2);
const kernel = createLinuxKernel({ runDir, instance: 'test' });
for (let i = 0; i < 1000; i++) {
  process.stdout.write(`${i}\n`);
  const name = `${prefix}-${i}`;
  const namespace = await kernel.createNamespace(name);
  const route = { destination: '0.0.0.0/0', gateway: '192.0.2.1', metric: 0 };
  const tap = await kernel.createTap(namespace, tapRequest({ alias: `weft:test:${i}`, routes: [route] }));
  if (i % 3 !== 0) continue;
  await kernel.removeTap(tap);
  kernel.closeNamespace(namespace);
  await kernel.removeNamespace(name);
}
