/** The log of the daemon on stderr: JSON lines for machines, a line of text on a terminal. */
import { writeSync } from 'node:fs';
import { type Logger, pino } from 'pino';
import { printable } from '../src/lib/printable.js';
import type { LogLevel } from './weftd-config.js';

export type { Logger };

const STDERR = 2;

export function createLog(level: LogLevel, isTerminal: boolean): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: levelName } };
  // Written synchronously: the last line before a crash is the one that is wanted.
  return pino(options, { write: (line: string) => writeLine(isTerminal ? textOf(line) : line) });
}

function levelName(label: string): { level: string } {
  return { level: label };
}

/** A log that cannot be written (stderr closed, disk full, pipe full) must not end the daemon. */
function writeLine(line: string): void {
  try {
    writeSync(STDERR, line);
  } catch {
    // Nowhere left to complain.
  }
}

/** `14:03:22.120 info  message key=value`. */
function textOf(line: string): string {
  const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const details = Object.entries(fields).map(
    ([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${String(time).slice(11, 23)} ${String(level).padEnd(5)} ${printable(`${msg}${details.join('')}`)}\n`;
}
