// Child process of exec.test.ts: moves into the namespace argv[2] and becomes the program argv[3...].

import { native } from '../../src/native/index.js';

const [path = '', file = '', ...args] = process.argv.slice(2);
process.stdin.resume(); // makes stdin non-blocking where it is a pipe, as a real CLI may have done
const missing = native.execProgram('/nonexistent/program', ['argument']);
const entered = native.enterNamespace(native.openNamespace(path));
process.stdout.write(`${missing} ${entered}\n`, () => {
  process.exitCode = -native.execProgram(file, args);
});
