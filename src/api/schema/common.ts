/**
 * Schema parts that several resources share. Requests are validated with these, the OpenAPI document is printed from
 * them, and the types of the CLI are derived from them; what a text *means* (is this a CIDR?) is for the model to say.
 *
 * `x-says` is the sentence that a violation is reported with, where the generic one would be unclear.
 */
import { type Static, type TObject, type TSchema, Type } from '@sinclair/typebox';

/** Compile-time proof that a schema and an interface of the controller describe the same: `true satisfies Same<A, B>`. */
export type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;

/** As in model: letters, digits, `.`, `_`, `-`; letter or digit at both ends; 1..63 characters; so neither `.` nor `..`. */
export const NAME_PATTERN = '^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$';

export const Name = Type.String({
  pattern: NAME_PATTERN,
  description: 'Name of an object',
  'x-says': 'must be 1 to 63 letters, digits, ".", "_" or "-", with a letter or digit at both ends',
});

/** Text without control characters: nothing in it can play tricks on a terminal or a log. */
export function Text(maxLength: number, description: string) {
  return Type.String({
    minLength: 1,
    maxLength,
    pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
    description,
    'x-says': `must be 1 to ${maxLength} characters without control characters`,
  });
}

export const Address = Text(64, 'IPv4 or IPv6 address');

export const AddressOrList = Type.Union([Address, Type.Array(Address, { maxItems: 64 })], {
  description: 'One address or a list of them',
  'x-says': 'must be an address or a list of addresses',
});

export const Mac = Type.String({
  pattern: '^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$',
  description: 'MAC address, for example 02:00:5e:10:00:01',
  'x-says': 'must be a MAC address like 02:00:5e:10:00:01',
});

export const Interface = Type.String({
  pattern: '^[^\\u0000-\\u0020/:\\u007f-\\u009f]{1,15}$',
  description: 'Interface name',
  'x-says': 'must be 1 to 15 characters without spaces, "/" and ":"',
});

export const Path = Type.String({
  maxLength: 4096,
  pattern: '^/[^\\u0000-\\u001f\\u007f-\\u009f]*$',
  description: "Absolute path on the daemon's machine",
  'x-says': 'must be an absolute path without control characters',
});

/** An object that takes no field but those it names. */
export function Closed<Properties extends Record<string, TSchema>>(properties: Properties, description?: string) {
  return Type.Object(properties, { additionalProperties: false, ...(description ? { description } : {}) });
}

/** Objects by name, as in a lab file. */
export function ByName<Value extends TSchema>(value: Value) {
  return Type.Record(Type.String({ pattern: NAME_PATTERN }), value, {
    additionalProperties: false,
    maxProperties: 4096,
  });
}

/** A string that is one of `values`. */
export function OneOf<const Values extends readonly string[]>(values: Values, description?: string) {
  return Type.Unsafe<Values[number]>({ type: 'string', enum: [...values], ...(description ? { description } : {}) });
}

export const Nullable = <Value extends TSchema>(value: Value) => Type.Union([value, Type.Null()]);

export const Count = Type.Number({ minimum: 0, description: 'A count' });

export type Of<Schema extends TSchema> = Static<Schema>;
export type Fields<Schema extends TObject> = Schema['properties'];
