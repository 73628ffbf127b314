/**
 * Reads the fields of a request that nobody has checked yet, and collects every problem instead of stopping at the first.
 *
 * Reading a field that is absent (or null) gives its fallback; one that is wrong gives the fallback too, and a problem. So
 * the caller reads everything, then looks whether there were problems. `finish` complains about fields that nobody read.
 */
import { quote } from './ip.js';
import type { Problem } from './problems.js';

export interface TextAt {
  text: string;
  path: string;
}

/** Items in one list of a request; more is no network but an accident. */
const MAX_ITEMS = 4096;

export class FieldReader {
  readonly problems: Problem[];
  readonly path: string;
  private readonly source: Record<string, unknown>;
  private readonly known = new Set<string>();

  constructor(value: unknown, path: string, problems: Problem[]) {
    this.problems = problems;
    this.path = path;
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    this.source = isObject ? (value as Record<string, unknown>) : {};
    if (!isObject)
      problems.push({ path, code: 'wrong-type', message: `an object is needed, not ${nameOfType(value)}` });
  }

  /** Path of one field, e.g. `networks.lan.mtu`. */
  at(field: string): string {
    return this.path === '' ? field : `${this.path}.${field}`;
  }

  fail(field: string, code: string, message: string): void {
    this.problems.push({ path: this.at(field), code, message });
  }

  /** Whether the field is there at all and not null. */
  has(field: string): boolean {
    return this.value(field) !== undefined;
  }

  text(field: string): string | undefined {
    const value = this.value(field);
    if (value === undefined || typeof value === 'string') return value;
    this.fail(field, 'wrong-type', `text is needed, not ${nameOfType(value)}`);
    return undefined;
  }

  /** A text that must be there. */
  requiredText(field: string): string {
    if (!this.has(field)) this.fail(field, 'missing', 'it is required');
    return this.text(field) ?? '';
  }

  integer(field: string, lowest: number, highest: number, fallback: number): number {
    const value = this.value(field);
    if (value === undefined) return fallback;
    if (typeof value !== 'number') {
      this.fail(field, 'wrong-type', `a number is needed, not ${nameOfType(value)}`);
    } else if (!Number.isInteger(value) || value < lowest || value > highest) {
      this.fail(field, 'out-of-range', `${value} is not in ${lowest}..${highest}`);
    } else {
      return value;
    }
    return fallback;
  }

  flag(field: string, fallback: boolean): boolean {
    const value = this.value(field);
    if (value === undefined) return fallback;
    if (typeof value === 'boolean') return value;
    this.fail(field, 'wrong-type', `true or false is needed, not ${nameOfType(value)}`);
    return fallback;
  }

  choice<T extends string>(field: string, choices: readonly T[], fallback: T): T {
    const value = this.value(field);
    if (value === undefined) return fallback;
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    const given = typeof value === 'string' ? quote(value) : nameOfType(value);
    this.fail(field, 'unknown-choice', `${given} is none of ${choices.join(', ')}`);
    return fallback;
  }

  /** A list of texts; one text alone counts as a list of one. */
  texts(field: string): TextAt[] {
    const value = this.value(field);
    if (value === undefined) return [];
    if (typeof value === 'string') return [{ text: value, path: this.at(field) }];
    return this.items(field, value).flatMap((item, index) => {
      const path = `${this.at(field)}[${index}]`;
      if (typeof item === 'string') return [{ text: item, path }];
      this.problems.push({ path, code: 'wrong-type', message: `text is needed, not ${nameOfType(item)}` });
      return [];
    });
  }

  integers(field: string, lowest: number, highest: number): number[] {
    const value = this.value(field);
    if (value === undefined) return [];
    return this.items(field, value).filter((item, index): item is number => {
      if (Number.isInteger(item) && (item as number) >= lowest && (item as number) <= highest) return true;
      const path = `${this.at(field)}[${index}]`;
      this.problems.push({ path, code: 'out-of-range', message: `a whole number in ${lowest}..${highest} is needed` });
      return false;
    });
  }

  /** A nested object; null when it is absent. */
  object(field: string): FieldReader | null {
    const value = this.value(field);
    return value === undefined ? null : new FieldReader(value, this.at(field), this.problems);
  }

  /** A list of nested objects. */
  objects(field: string): FieldReader[] {
    const value = this.value(field);
    if (value === undefined) return [];
    return this.items(field, value).map(
      (item, index) => new FieldReader(item, `${this.at(field)}[${index}]`, this.problems),
    );
  }

  /** What may be switched on and off as a whole, or described: true, false, or a nested object. */
  flagOrObject(field: string, fallback: boolean): boolean | FieldReader {
    const value = this.value(field);
    if (typeof value === 'object') return new FieldReader(value, this.at(field), this.problems);
    return this.flag(field, fallback);
  }

  /** What may be switched on and off as a whole, or described by texts: true, false, a text, or a list of them. */
  flagOrTexts(field: string, fallback: boolean): boolean | TextAt[] {
    const value = this.value(field);
    return typeof value === 'string' || typeof value === 'object' ? this.texts(field) : this.flag(field, fallback);
  }

  /** The fields of a nested object whose keys are names; bodies are unchecked. */
  entries(field: string): [string, unknown][] {
    const value = this.value(field);
    if (value === undefined) return [];
    if (typeof value !== 'object' || Array.isArray(value)) {
      this.fail(field, 'wrong-type', `an object with names as keys is needed, not ${nameOfType(value)}`);
      return [];
    }
    return Object.entries(value as object);
  }

  /** Complains about every field that was not asked for. */
  finish(): void {
    for (const field of Object.keys(this.source)) {
      if (this.known.has(field)) continue;
      const choices = [...this.known].join(', ');
      const message = `there is no such field; there are ${choices}`;
      this.problems.push({ path: this.at(printable(field)), code: 'unknown-field', message });
    }
  }

  private value(field: string): unknown {
    this.known.add(field);
    const value = Object.hasOwn(this.source, field) ? this.source[field] : undefined;
    return value === null ? undefined : value;
  }

  private items(field: string, value: unknown): unknown[] {
    if (!Array.isArray(value)) {
      this.fail(field, 'wrong-type', `a list is needed, not ${nameOfType(value)}`);
      return [];
    }
    if (value.length > MAX_ITEMS) {
      this.fail(field, 'out-of-range', `${value.length} items are more than ${MAX_ITEMS}`);
      return [];
    }
    return value;
  }
}

function nameOfType(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** A field name from outside, for a path: bounded and without control characters. */
function printable(field: string): string {
  const safe = field.replace(/[^ -~]/g, '?');
  return safe.length > 60 ? `${safe.slice(0, 57)}...` : safe;
}
