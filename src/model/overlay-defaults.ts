/**
 * What overlay networks of this host have in common, from `overlay` in weft.yaml: where its VTEP is. Networks that the cluster brings have
 * nothing else to go by; requests that leave these fields out get them too.
 */

import type { Underlay } from './network.js';
import { nestOverlay } from './overlay-request.js';

export interface OverlayDefaults {
  underlay?: Underlay;
  vtep?: string;
  port?: number;
  underlayNetns?: string;
  checksum?: boolean;
  /** In a daemon with a cluster, networks are shared unless the request says otherwise. */
  shared?: boolean;
}

/** A request of any type, as it came; only one of type overlay is changed. It is checked afterwards, like every request. */
export function withOverlayDefaults(request: unknown, defaults: OverlayDefaults): unknown {
  if (!isObject(request) || request.type !== 'overlay') return request;
  const nested = nestOverlay(request);
  // A file or a person may write null for a field that is left out.
  const given = Object.entries(isObject(nested.overlay) ? nested.overlay : {}).filter(([, value]) => value !== null);
  return { ...nested, overlay: { ...defaults, ...Object.fromEntries(given) } };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
