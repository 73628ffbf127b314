/** Child process of doctor.test.ts: what the doctor says to this user, as JSON. argv: runDir. */
import { runDoctor } from '../../src/control/doctor/doctor.js';

const findings = await runDoctor({ runDir: process.argv[2] ?? '', searchPath: '/usr/bin' });
process.stdout.write(JSON.stringify(findings));
