/**
 * Operations on compartments: make or adopt a namespace, watch it, let go of it.
 *
 * A compartment whose namespace died stays in the lists as `gone` until it is deleted; its endpoints are detached and
 * keep their addresses. Deleting one with `force` detaches its endpoints too, so that no address is lost by accident.
 */
import type { CompartmentSpec } from '../model/compartment.js';
import { isOwned, parseCompartmentRequest, pathOfCompartment } from '../model/compartment-request.js';
import type { CompartmentRecord, NamespaceIdentity } from '../model/desired-state.js';
import { RequestError } from '../model/problems.js';
import type { Context } from './context.js';
import { detachAll } from './endpoints.js';
import { KernelError, type Namespace } from './kernel/kernel.js';
import { discard } from './plugging.js';
import { accepted, listNames } from './refusals.js';
import type { Transaction } from './transaction.js';

export async function createCompartment(context: Context, transaction: Transaction, request: unknown): Promise<void> {
  const spec = accepted(parseCompartmentRequest(request));
  const { record, undo } = context.state.addCompartment(spec, context.newId());
  transaction.onUndo('add compartment', undo);
  const namespace = isOwned(spec) ? await make(context, transaction, spec) : await adopt(context, transaction, spec);
  record.identity = identityOf(namespace);
  open(context, record, namespace);
  transaction.onUndo('watch namespace', () => stopWatching(context, spec.name));
  const message = `compartment ${spec.name} ${isOwned(spec) ? 'created' : 'adopted'} (${namespace.path})`;
  transaction.emit({ type: 'compartment-created', object: 'compartment', name: spec.name, message });
}

export async function deleteCompartment(
  context: Context,
  transaction: Transaction,
  name: string,
  force: boolean,
): Promise<void> {
  const record = context.state.compartment(name);
  if (record.endpoints.size > 0 && !force) {
    const message = `compartment ${name} has ${listNames('endpoint', record.endpoints)}`;
    throw new RequestError('in-use', message, 'detach or delete them first, or use --force to detach them');
  }
  await detachAll(context, transaction, [...record.endpoints], `its compartment ${name} was deleted`);
  await close(context, transaction, record);
  transaction.onUndo('remove compartment', context.state.removeCompartment(name).undo);
  const message = `compartment ${name} deleted`;
  transaction.emit({ type: 'compartment-deleted', object: 'compartment', name, message });
}

/** What happens when the namespace of a compartment has died. Cannot be taken back. */
export async function loseCompartment(
  context: Context,
  transaction: Transaction,
  name: string,
  namespace: Namespace,
): Promise<void> {
  const current = context.open.get(name);
  if (current === undefined || current.namespace !== namespace) return;
  const record = context.state.compartment(name);
  const path = pathOfCompartment(record.spec);
  transaction.emit({
    type: 'compartment-gone',
    object: 'compartment',
    name,
    message: `the namespace of compartment ${name} is gone (${path})`,
  });
  const names = [...record.endpoints];
  await discard(
    context,
    names.flatMap((endpoint) => context.attachments.get(endpoint) ?? []),
  );
  for (const endpoint of names) {
    context.state.detach(endpoint);
    const reason = `the namespace of compartment ${name} is gone`;
    context.reasons.set(endpoint, reason);
    const message = `endpoint ${endpoint} detached: ${reason}`;
    transaction.emit({ type: 'endpoint-detached', object: 'endpoint', name: endpoint, message });
  }
  stopWatching(context, name);
  context.kernel.closeNamespace(namespace);
}

/** Enters an open namespace and begins to watch it. */
export function open(context: Context, record: CompartmentRecord, namespace: Namespace): void {
  const { name, pid } = record.spec;
  const watch = context.kernel.watchNamespace(namespace, pid, () => context.onNamespaceGone(name, namespace));
  context.open.set(name, { namespace, watch });
}

export function identityOf(namespace: Namespace): NamespaceIdentity {
  return { device: namespace.device, inode: namespace.inode };
}

/** Throws conflict when the namespace is the daemon's own or that of another compartment. */
export function checkIdentity(context: Context, namespace: Namespace, name: string): void {
  if (isSame(namespace, context.kernel.hostNamespace())) {
    const message = `${namespace.path} is the network namespace that weftd itself runs in`;
    throw new RequestError('conflict', message, 'use a network of type internal to connect the host');
  }
  for (const [other, { namespace: known }] of context.open) {
    if (other === name || !isSame(namespace, known)) continue;
    const message = `${namespace.path} is the namespace of compartment ${other} already`;
    throw new RequestError('conflict', message, `use compartment ${other}, or delete it first`);
  }
}

function isSame(a: Namespace, b: Namespace): boolean {
  return a.device === b.device && a.inode === b.inode;
}

async function make(context: Context, transaction: Transaction, spec: CompartmentSpec): Promise<Namespace> {
  try {
    const namespace = await context.kernel.createNamespace(spec.name);
    transaction.onUndo('create namespace', async () => {
      await context.kernel.removeNamespace(spec.name);
      context.kernel.closeNamespace(namespace);
    });
    return namespace;
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== 'EEXIST') throw error;
    const path = pathOfCompartment(spec);
    const remedy = `adopt it with --netns ${path}, or choose another name`;
    throw new RequestError('conflict', `the namespace ${path} exists already, and weft did not make it`, remedy);
  }
}

async function adopt(context: Context, transaction: Transaction, spec: CompartmentSpec): Promise<Namespace> {
  const path = pathOfCompartment(spec);
  const field = spec.pid === null ? 'netns' : 'pid';
  let namespace: Namespace;
  try {
    namespace = await context.kernel.openNamespace(path);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const message = whyNotOpen(spec, path, error);
    const problems = [{ path: field, code: 'no-namespace', message }];
    throw new RequestError('invalid-request', message, 'name a network namespace that exists', problems);
  }
  transaction.onUndo('open namespace', () => context.kernel.closeNamespace(namespace));
  checkIdentity(context, namespace, spec.name);
  return namespace;
}

function whyNotOpen(spec: CompartmentSpec, path: string, error: KernelError): string {
  if (error.errno === 'EINVAL') return `${path} is no network namespace`;
  const isMissing = error.errno === 'ENOENT' || error.errno === 'ESRCH';
  if (!isMissing) return error.message;
  return spec.pid === null ? `there is no ${path}` : `there is no process ${spec.pid}`;
}

/**
 * Lets go of the namespace. An owned one is removed, but only once the change is safe: a namespace that is made again is
 * not the same one. Of one that is gone only the mark of ownership is left, which must not outlive this moment: the next
 * step of the same change may make another namespace of that name.
 */
async function close(context: Context, transaction: Transaction, record: CompartmentRecord): Promise<void> {
  const { kernel } = context;
  const { name } = record.spec;
  const removeOwned = async () => {
    if (isOwned(record.spec)) await kernel.removeNamespace(name);
  };
  const namespace = context.open.get(name)?.namespace;
  if (namespace === undefined) return removeOwned();
  stopWatching(context, name);
  transaction.onUndo('watch namespace', () => open(context, record, namespace));
  transaction.onCommit('remove namespace', removeOwned);
  transaction.onCommit('close namespace', () => kernel.closeNamespace(namespace));
}

function stopWatching(context: Context, name: string): void {
  context.open.get(name)?.watch.stop();
  context.open.delete(name);
}
