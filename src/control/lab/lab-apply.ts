/** Makes reality match a lab file, as one change: all of it happens or none of it. */
import { RequestError } from '../../model/problems.js';
import { copyState } from '../../model/state-file.js';
import { createCompartment, deleteCompartment } from '../compartments.js';
import type { Context } from '../context.js';
import type { ApplyResult } from '../controller/lab-objects.js';
import { addEndpoint, attachEndpoint, changeEndpoint, deleteEndpoints, detachAll } from '../endpoints.js';
import { addNetwork, changeNetwork, deleteNetwork } from '../networks.js';
import { leavesMtuOpen, withMtu } from '../overlay/mtu.js';
import { accepted } from '../refusals.js';
import { LIMITS } from '../state/store.js';
import type { Transaction } from '../transaction.js';
import { type ParsedLab, parseLab } from './lab-parse.js';
import { type Operation, planLab } from './lab-plan.js';
import { rehearse } from './lab-rehearsal.js';

/** `lab`: the parsed YAML or JSON document. */
export async function applyLab(
  context: Context,
  transaction: Transaction,
  lab: unknown,
  dryRun: boolean,
): Promise<ApplyResult> {
  const parsed = accepted(parseLab(lab, context.overlayDefaults));
  for (const [name, spec] of parsed.networks) {
    const isOpen = leavesMtuOpen((lab as { networks: Record<string, unknown> }).networks[name]);
    parsed.networks.set(name, await withMtu(context, spec, isOpen));
  }
  const { state } = context;
  const facts = {
    isGone: (compartment: string) => !context.open.has(compartment),
    isDegraded: (endpoint: string) => !context.attachments.has(endpoint),
    captures: context.captures.list(),
  };
  const { steps, operations } = planLab(state, parsed, facts);
  const rehearsal = copyState(state, LIMITS);
  rehearse(rehearsal, operations);
  const result = { dryRun, changed: steps.length > 0, steps };
  if (dryRun) return result;
  for (const operation of operations) await perform(context, transaction, operation);
  for (const [name, { addresses }] of rehearsal.networks) {
    const own = state.network(name).addresses;
    const cursors = own.cursors();
    transaction.onUndo('address cursors', () => own.setCursors(cursors));
    own.setCursors(addresses.cursors());
  }
  remember(context, transaction, parsed);
  return result;
}

/** What may take long and needs nobody to wait: done before `applyLab` is queued. Leaves a wrong lab file to that. */
export async function prepareLab({ captures, overlayDefaults }: Context, lab: unknown): Promise<void> {
  const parsed = parseLab(lab, overlayDefaults);
  if (!parsed.ok) return;
  for (const [name, { filter = '' }] of parsed.value.captures) {
    if (filter === '' || captures.find(name)?.filter === filter.trim()) continue;
    try {
      await captures.prepareFilter(filter.trim());
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      const path = `captures.${name}.filter`;
      const problems = [{ path, code: 'bad-filter', message: error.message }];
      throw new RequestError('invalid-request', `${path}: ${error.message}`, error.remedy, problems);
    }
  }
}

async function perform(context: Context, transaction: Transaction, operation: Operation): Promise<void> {
  const { kind, name } = operation;
  if (kind === 'stop-capture') await stopCapture(context, transaction, name);
  else if (kind === 'delete-endpoint') await deleteEndpoints(context, transaction, [name]);
  else if (kind === 'detach-endpoint') await detachAll(context, transaction, [name], null);
  else if (kind === 'delete-compartment') await deleteCompartment(context, transaction, name, false);
  else if (kind === 'delete-network') await deleteNetwork(context, transaction, name, false);
  else if (kind === 'create-network') await addNetwork(context, transaction, operation.spec);
  else if (kind === 'change-network') await changeNetwork(context, transaction, name, operation.spec);
  else if (kind === 'create-compartment') await createCompartment(context, transaction, operation.spec);
  else if (kind === 'create-endpoint') await addEndpoint(context, transaction, operation.wish, operation.ifname);
  else if (kind === 'attach-endpoint') await attachEndpoint(context, transaction, name, operation.compartment);
  else if (kind === 'change-endpoint') {
    const { spec } = context.state.endpoint(name);
    await changeEndpoint(context, transaction, name, { ...spec, ...operation.changes });
  } else await startCapture(context, transaction, name, operation);
}

async function startCapture(
  context: Context,
  transaction: Transaction,
  name: string,
  { request }: Extract<Operation, { kind: 'start-capture' }>,
): Promise<void> {
  await context.captures.start(request);
  transaction.onUndo('start capture', async () => {
    await context.captures.stop(name);
  });
  await context.ports.settled();
  const message = `capture ${name} started, into ${request.file}`;
  transaction.emit({ type: 'capture-started', object: 'capture', name, message });
}

/** Cannot be taken back: its file is complete. */
async function stopCapture(context: Context, transaction: Transaction, name: string): Promise<void> {
  const view = await context.captures.stop(name);
  transaction.isChange = true;
  await context.ports.settled();
  context.log.info({ capture: name, frames: view.frames }, 'capture stopped by apply');
}

/** From now on everything that the file names belongs to `apply`, also what was made by hand before. */
function remember(context: Context, transaction: Transaction, lab: ParsedLab): void {
  for (const kind of ['networks', 'compartments', 'endpoints', 'captures'] as const) {
    const names = context.state.applied[kind];
    const former = [...names];
    const wanted = [...lab[kind].keys()];
    if (former.length === wanted.length && wanted.every((name) => names.has(name))) continue;
    const set = (to: readonly string[]) => {
      names.clear();
      for (const name of to) names.add(name);
    };
    transaction.onUndo('names of apply', () => set(former));
    set(wanted);
  }
  const { captureRequests } = context.state;
  const former = [...captureRequests];
  const setRequests = (to: Iterable<[string, object]>) => {
    captureRequests.clear();
    for (const [name, request] of to) captureRequests.set(name, request);
  };
  if (JSON.stringify(former) === JSON.stringify([...lab.captures])) return;
  transaction.onUndo('captures of apply', () => setRequests(former));
  setRequests(lab.captures);
}
