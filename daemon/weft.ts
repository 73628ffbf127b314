#!/usr/bin/env node
/** The command line tool: hands the real world to src/cli. */
import { runCli } from '../src/cli/run.js';
import { readVersion } from './package-version.js';

/** A reader that has seen enough (`weft ... | head`) is no fault. */
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

process.exitCode = await runCli(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  cwd: process.cwd(),
  socketVariable: process.env.WEFT_SOCKET,
  version: readVersion(),
  isRoot: process.geteuid?.() === 0,
  onInterrupt,
  async checkMachine(runDir) {
    const { runDoctor } = await import('../src/control/doctor/doctor.js');
    return runDoctor({ runDir, searchPath: process.env.PATH ?? '' });
  },
  loadNative: async () => (await import('../src/native/index.js')).native,
});

function onInterrupt(listener: () => void): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  let count = 0;
  const handle = () => {
    // The second time the user means it.
    if (++count > 1) process.exit(130);
    listener();
  };
  for (const signal of signals) process.on(signal, handle);
  return () => {
    for (const signal of signals) process.off(signal, handle);
  };
}
