/** Every route of the API. */
import type { Route } from '../route.js';
import { captureRoutes } from './captures.js';
import { clusterRoutes } from './cluster.js';
import { compartmentRoutes } from './compartments.js';
import { documentRoutes } from './documents.js';
import { endpointRoutes } from './endpoints.js';
import { eventRoutes } from './events.js';
import { flowRoutes } from './flows.js';
import { labRoutes } from './lab.js';
import { networkRoutes } from './networks.js';
import { portRoutes } from './ports.js';
import { replayRoutes } from './replays.js';
import { statusRoutes } from './status.js';
import { tableRoutes } from './tables.js';
import { traceRoutes } from './traces.js';

export const ROUTES: readonly Route[] = [
  ...networkRoutes,
  ...compartmentRoutes,
  ...endpointRoutes,
  ...portRoutes,
  ...captureRoutes,
  ...replayRoutes,
  ...clusterRoutes,
  ...tableRoutes,
  ...flowRoutes,
  ...traceRoutes,
  ...statusRoutes,
  ...eventRoutes,
  ...labRoutes,
  ...documentRoutes(() => ROUTES),
];
