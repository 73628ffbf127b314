/** A trace as text: one paragraph per stage, then what became of the frame. */
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { counted } from './units.js';

type Trace = SchemaTypes['Trace'];

const STAGE_COLUMNS = 15;

export function traceText(view: Trace): string {
  const lines = [`from ${view.from}: ${view.frame}`, ''];
  const { length: head } = lines;
  for (const { stage, says } of view.steps) {
    says.forEach((sentence, index) => {
      lines.push(`${(index === 0 ? stage : '').padEnd(STAGE_COLUMNS)}${sentence}`);
    });
  }
  if (lines.length > head) lines.push('');
  lines.push(fateText(view));
  for (const { to, frames, frame } of view.departures) {
    lines.push(`  to ${to}${frames === 1 ? '' : ` in ${counted(frames, 'frame')}, the first`}: ${frame}`);
  }
  return lines.join('\n');
}

function fateText({ fate, drop, departures }: Trace): string {
  if (drop !== null) return `dropped: ${drop.reason}. ${drop.sentence} ${drop.hint}`;
  if (fate === 'consumed') return departures.length === 0 ? 'consumed by weft' : 'consumed by weft, which answers';
  return departures.length === 0 ? 'forwarded to nobody' : 'forwarded';
}
