/**
 * What one session with etcd does to keys, in memory, and answers when the test says so: for what depends on the order of two requests,
 * which a real etcd does not let anybody choose.
 */
import type { Condition, Entry, EtcdSession, Operation, Outcome } from '../../src/control/cluster/etcd-session.js';

export class MemoryEtcd {
  readonly rows = new Map<string, Entry>();
  /** Called before a request is carried out, which waits for what it returns. */
  before: (request: string, keys: readonly string[]) => Promise<void> | void = () => {};
  /** Characters of the keys and values of the largest transaction. */
  largest = 0;
  private revision = 0;

  get session(): EtcdSession {
    return this as unknown as EtcdSession;
  }

  put(key: string, value: string): void {
    this.rows.set(key, { key, value, modRevision: ++this.revision });
  }

  value(key: string): string | null {
    return this.rows.get(key)?.value ?? null;
  }

  keys(prefix: string): string[] {
    return [...this.rows.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  async readAll(prefix: string): Promise<{ revision: number; entries: Entry[] }> {
    await this.before('readAll', [prefix]);
    return { revision: this.revision, entries: this.keys(prefix).map((key) => this.rows.get(key)!) };
  }

  async read(key: string): Promise<Entry | null> {
    await this.before('read', [key]);
    return this.rows.get(key) ?? null;
  }

  async transact(
    conditions: readonly Condition[],
    operations: readonly Operation[],
    elseRead: readonly string[] = [],
  ): Promise<Outcome> {
    await this.before('transact', operations.map(keyOf));
    const lengths = operations.map(
      (operation) => keyOf(operation).length + ('put' in operation ? operation.value.length : 0),
    );
    this.largest = Math.max(
      this.largest,
      lengths.reduce((sum, length) => sum + length, 0),
    );
    const succeeded = conditions.every((condition) => this.holds(condition));
    if (succeeded) for (const operation of operations) this.carryOut(operation);
    const entries = succeeded ? [] : elseRead.flatMap((key) => this.rows.get(key) ?? []);
    return { succeeded, revision: this.revision, entries };
  }

  async removeEqual(keys: readonly string[], value: string, condition: Condition): Promise<boolean> {
    await this.before('removeEqual', keys);
    if (!this.holds(condition)) return false;
    for (const key of keys) if (this.value(key) === value) this.carryOut({ delete: key });
    return true;
  }

  async putAbsent(entries: readonly { key: string; value: string }[]): Promise<void> {
    await this.before(
      'putAbsent',
      entries.map(({ key }) => key),
    );
    for (const { key, value } of entries) if (!this.rows.has(key)) this.put(key, value);
  }

  private holds(condition: Condition): boolean {
    if ('prefix' in condition) {
      const rows = this.keys(condition.prefix).map((key) => this.rows.get(key)!);
      return condition.is === 'absent' ? rows.length === 0 : rows.every(({ value }) => value === condition.value);
    }
    const row = this.rows.get(condition.key);
    if (condition.is === 'absent') return row === undefined;
    if (condition.is === 'present') return row !== undefined;
    return condition.is === 'equal' ? row?.value === condition.value : row?.modRevision === condition.modRevision;
  }

  private carryOut(operation: Operation): void {
    if ('put' in operation) {
      this.put(operation.put, operation.value);
      return;
    }
    const gone = 'delete' in operation ? [operation.delete] : this.keys(operation.deletePrefix);
    for (const key of gone) if (this.rows.delete(key)) this.revision++;
  }
}

function keyOf(operation: Operation): string {
  if ('put' in operation) return operation.put;
  return 'delete' in operation ? operation.delete : operation.deletePrefix;
}
