/** The calls of the API that start and stop captures. */
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { objectPath } from '../client.js';
import type { Session } from '../session.js';

type Capture = SchemaTypes['Capture'];

export function startCapture(session: Session, body: object): Promise<Capture> {
  return session.client.call<Capture>({ what: 'cannot capture', method: 'POST', path: '/v1/captures', body });
}

export function stopCapture(session: Session, name: string): Promise<Capture> {
  const path = objectPath('captures', name, '/stop');
  return session.client.call<Capture>({ what: `cannot stop capture ${name}`, method: 'POST', path });
}
