/**
 * Tries the operations of a plan out on a copy of the desired state, and fills in what they leave to weft.
 *
 * Endpoints whose address or interface name is given in the file go first, so that no other one is given what they ask for
 * just because it stands further up.
 */
import type { DesiredState } from '../../model/desired-state.js';
import { type Problem, RequestError } from '../../model/problems.js';
import type { Operation } from './lab-plan.js';

type Creation = Extract<Operation, { kind: 'create-endpoint' }>;

/** Throws one `RequestError` for everything that cannot be done. `state` is a copy and is left as the plan would leave it. */
export function rehearse(state: DesiredState, operations: readonly Operation[]): void {
  const failures: { problem: Problem; error: RequestError }[] = [];
  const attempt = (path: string, work: () => void) => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      failures.push({ problem: { path, code: error.code, message: error.message }, error });
    }
  };
  const creations = operations.filter((operation): operation is Creation => operation.kind === 'create-endpoint');
  let isCreated = false;
  for (const operation of operations) {
    if (operation.kind !== 'create-endpoint') attempt(pathOf(operation), () => perform(state, operation));
    else if (!isCreated) {
      isCreated = true;
      createAll(state, creations, attempt);
    }
  }
  for (const operation of operations) {
    if (operation.kind !== 'create-network' && operation.kind !== 'change-network') continue;
    if (state.networks.has(operation.name)) attempt(pathOf(operation), () => state.checkRoutesTo(operation.spec));
  }
  const [first] = failures;
  if (first === undefined) return;
  const code = failures.every(({ error }) => error.code === first.error.code) ? first.error.code : 'conflict';
  const message = failures.map(({ problem }) => `${problem.path}: ${problem.message}`).join('; ');
  throw new RequestError(
    code,
    message,
    first.error.remedy,
    failures.map(({ problem }) => problem),
  );
}

function createAll(
  state: DesiredState,
  creations: readonly Creation[],
  attempt: (path: string, work: () => void) => void,
): void {
  const made: Creation[] = [];
  for (const creation of firstThose(creations, ({ wish }) => wish.ip.length > 0)) {
    attempt(pathOf(creation), () => {
      const { record } = state.addEndpoint(creation.wish, creation.name);
      creation.wish = { ...creation.wish, ip: record.spec.ip };
      made.push(creation);
    });
  }
  for (const creation of firstThose(made, ({ wish }) => wish.ifname !== null)) {
    const { compartment } = creation.wish;
    if (compartment === null) continue;
    attempt(pathOf(creation), () => {
      const { record } = state.attach(creation.name, compartment, () => false);
      creation.ifname = record.spec.ifname;
    });
  }
}

function firstThose<T>(items: readonly T[], isFirst: (item: T) => boolean): T[] {
  return [...items.filter(isFirst), ...items.filter((item) => !isFirst(item))];
}

function perform(state: DesiredState, operation: Exclude<Operation, Creation>): void {
  const { kind, name } = operation;
  if (kind === 'delete-endpoint') {
    state.detach(name);
    state.removeEndpoint(name);
  } else if (kind === 'detach-endpoint') state.detach(name);
  else if (kind === 'delete-compartment') state.removeCompartment(name);
  else if (kind === 'delete-network') state.removeNetwork(name);
  else if (kind === 'create-network') state.addNetwork(operation.spec, name);
  else if (kind === 'change-network') state.changeNetwork(name, operation.spec);
  else if (kind === 'create-compartment') state.addCompartment(operation.spec, name);
  else if (kind === 'attach-endpoint') state.attach(name, operation.compartment, () => false);
  else if (kind === 'change-endpoint') {
    state.changeEndpoint(name, { ...state.endpoint(name).spec, ...operation.changes });
  } else if (kind === 'start-capture') {
    const { network, endpoint } = operation.request;
    if (network !== undefined) state.network(network);
    if (endpoint !== undefined) state.endpoint(endpoint);
  }
}

/** Where the object stands in the lab file. */
function pathOf({ kind, name }: Operation): string {
  return `${kind.slice(kind.indexOf('-') + 1)}s.${name}`;
}
