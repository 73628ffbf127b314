/** Captures as text: what one has got, the list, everything about one. */
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { fieldsText, tableText } from './table.js';
import { bytes, counted } from './units.js';

/** Earlier files that are shown by name. */
const LISTED_FILES = 10;

type Capture = SchemaTypes['Capture'];

export function lossSummary(frames: number, lost: number): string {
  return `${counted(frames, 'frame')} captured, ${lost} lost`;
}

export function summary(view: Capture): string {
  return `${lossSummary(view.frames, view.lost)}, ${bytes(view.bytes)}`;
}

function scopeOf(view: Capture): string {
  if (view.endpoint !== null) return `endpoint ${view.endpoint}`;
  if (view.underlay) return view.network === null ? 'all tunnels' : `tunnel of ${view.network}`;
  return view.network === null ? 'everything' : `network ${view.network}`;
}

export function listText(captures: Capture[]): string {
  return tableText(
    [
      { title: 'NAME' },
      { title: 'STATE' },
      { title: 'SCOPE' },
      { title: 'FILTER' },
      { title: 'FRAMES', right: true },
      { title: 'LOST', right: true },
      { title: 'SIZE', right: true },
      { title: 'FILE' },
    ],
    captures.map((view) => [
      view.name,
      view.state,
      scopeOf(view),
      view.filter,
      String(view.frames),
      String(view.lost),
      bytes(view.bytes),
      view.file ?? 'stream',
    ]),
  );
}

/** Older files are listed, the present one is `File`. */
function rotationRows({ rotateSize, rotateFiles, files }: Capture): [string, string][] {
  if (rotateSize === null) return [];
  const kept = rotateFiles === null ? 'all files kept' : `the newest ${counted(rotateFiles, 'file')} kept`;
  const earlier = files.slice(0, -1).reverse();
  const most = earlier.length > LISTED_FILES ? [`and ${earlier.length - LISTED_FILES} more`] : [];
  const names = earlier.length === 0 ? ['none'] : [...earlier.slice(0, LISTED_FILES), ...most];
  return [
    ['Rotation', `after ${bytes(rotateSize)}, ${kept}`],
    ['Earlier files', names.join(', ')],
  ];
}

export function showText(view: Capture): string {
  return fieldsText([
    ['Name', view.name],
    ['State', view.reason === null ? view.state : `${view.state}: ${view.reason}`],
    ['Scope', scopeOf(view)],
    ['Filter', view.filter],
    ['Dropped frames', view.drops ? 'included' : 'not included'],
    ['File', view.file ?? 'stream'],
    ...rotationRows(view),
    ['Format', view.format],
    ['Snaplen', String(view.snaplen)],
    ['Frames', String(view.frames)],
    ['Lost', String(view.lost)],
    ['Size', bytes(view.bytes)],
    ['Started', view.startedAt],
  ]);
}
