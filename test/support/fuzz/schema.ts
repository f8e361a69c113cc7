import fc from 'fast-check';
import { anyText, nasty } from './cases.js';

/** A JSON schema, as far as the OpenAPI document uses it for what comes in. */
export interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly $ref?: string;
}

/** Texts that mean something somewhere. */
const sensible = fc.constantFrom(
  'account',
  'address',
  'domain',
  'ehlo',
  'ip',
  'fuzzed@example.com',
  'example.com',
  '192.0.2.0/24',
  'mail.test',
  '2001:db8::/48',
  '1h',
  '3650d',
  '3651d',
  '0s',
  '2027-01-01',
  '9999-12-31T23:59:59Z',
  '2026-02-30',
  '5x',
  'off',
  'outbound',
  'soft',
  'block',
  'messages',
  'recipients',
  '10m',
  'defaults',
  'indefinite',
  'newest',
  'info',
  '*',
  '*.example.com',
  'fuzzed*@example.com',
  '20 in 10m',
  '500MB',
  'api',
  'smtp',
  'info',
  '1',
  '0',
);

export const anyValue: fc.Arbitrary<unknown> = fc.oneof(
  nasty,
  sensible,
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.constantFrom<unknown>(
    [],
    {},
    [[]],
    [null],
    { __proto__: null },
    JSON.parse('{"__proto__":{"polluted":true}}'),
  ),
  fc.constantFrom<unknown>(
    { constructor: { prototype: { polluted: true } } },
    { toString: 1 },
    { length: 1e9 },
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

const subjects = fc.constantFrom(
  'fuzzed@example.com',
  'fuzzed@example.com',
  'example.com',
  '192.0.2.7',
  '2001:db8::/48',
  '*@example.com',
  'a@b',
);
const instants = fc.constantFrom(
  '2027-01-01',
  '2026-03-01T11:00:00Z',
  '9999-12-31T23:59:59Z',
  '2026-02-30',
  '1970-01-01',
);
const spans = fc.constantFrom('1h', '10m', '30d', '3650d', '3651d', '0s', '999999999w');
const counts = fc.constantFrom('1', '2', '50', '500', '501', '0', '-1');
/** The meaning of some fields and parameters, in addition to their schema. */
const BY_NAME: Readonly<Record<string, fc.Arbitrary<string>>> = {
  value: subjects,
  account: subjects,
  returnPath: subjects,
  q: subjects,
  prefix: subjects,
  duration: spans,
  until: instants,
  since: instants,
  at: instants,
  from: instants,
  to: instants,
  limit: counts,
  after: counts,
  cursor: counts,
  ip: fc.constantFrom('192.0.2.7', '2001:db8::7', '::ffff:192.0.2.7', '192.0.2.0/24', 'x'),
  ehlo: fc.constantFrom('mail.test', '[192.0.2.7]', 'x y', 'İ.test'),
  type: fc.constantFrom('account', 'account', 'address', 'domain', 'ehlo', 'ip', 'x'),
  rule: fc.constantFrom('burst', 'x'),
  plan: fc.constantFrom('gold', 'x'),
};

/** Three ways to say how long, of which one is to be chosen. */
const DEFAULT_SPANS: Readonly<Record<string, unknown>> = {
  duration: '1h',
  until: '2027-01-01',
  indefinite: true,
};
const SPANS = Object.keys(DEFAULT_SPANS);
const span = fc.constantFrom('duration', 'duration', 'until', 'indefinite', 'any');

/** Of a field or parameter of that name: what it means, mostly. */
export function named(
  name: string,
  schema: Schema,
  all: Readonly<Record<string, Schema>>,
): fc.Arbitrary<unknown> {
  const known = Object.hasOwn(BY_NAME, name) ? BY_NAME[name] : undefined;
  const other = ofSchema(schema, all);
  if (known === undefined) return other;
  return fc.oneof(
    { weight: 6, arbitrary: known },
    { weight: 1, arbitrary: other },
    { weight: 1, arbitrary: anyText },
  );
}

/** What a schema lets in, mostly: `$ref`s are looked up in `all`. */
export function ofSchema(schema: Schema, all: Readonly<Record<string, Schema>>): fc.Arbitrary<unknown> {
  const { $ref, anyOf, oneOf, allOf, properties, required = [], items, additionalProperties } = schema;
  if ($ref !== undefined) return ofSchema(all[$ref.split('/').at(-1)!] ?? {}, all);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const some = anyOf ?? oneOf ?? allOf;
  if (some !== undefined) return fc.oneof(...some.map((each) => ofSchema(each, all)));
  switch ([schema.type].flat()[0] ?? 'any') {
    case 'string':
      return fc.oneof({ weight: 3, arbitrary: sensible }, { weight: 1, arbitrary: anyText });
    case 'integer':
    case 'number':
      return fc.oneof(
        fc.integer({ min: -2, max: 1000 }),
        fc.double(),
        fc.double({ min: 0, max: 10, noNaN: true }),
      );
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'array':
      return fc.array(items === undefined ? anyValue : ofSchema(items, all), { maxLength: 4 });
    case 'object': {
      const record: fc.Arbitrary<Readonly<Record<string, unknown>>> = fc.record(
        Object.fromEntries(
          Object.entries(properties ?? {}).map(([name, each]) => [name, named(name, each, all)]),
        ),
        { requiredKeys: [...required] },
      );
      const known =
        properties?.['duration'] === undefined
          ? record
          : fc.tuple(record, span).map(([all, one]) => ({
              ...Object.fromEntries(
                Object.entries(all).filter(([name]) => one === 'any' || !SPANS.includes(name)),
              ),
              ...(one === 'any' ? {} : { [one]: all[one] ?? DEFAULT_SPANS[one] }),
            }));
      const more = typeof additionalProperties === 'object' ? ofSchema(additionalProperties, all) : undefined;
      if (more === undefined) return known;
      return fc
        .tuple(known, fc.dictionary(fc.oneof(sensible, anyText), more, { maxKeys: 3 }))
        .map(([one, two]) => ({
          ...one,
          ...two,
        }));
    }
    default:
      return anyValue;
  }
}

/** A value in which one place holds something else, or has gone. */
export function warped(values: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.tuple(values, fc.nat(), fc.option(anyValue, { nil: undefined })).map(([value, which, other]) => {
    const copy: unknown = structuredClone(value);
    const places: (readonly [parent: Record<string, unknown>, key: string])[] = [];
    const walk = (each: unknown): void => {
      if (typeof each !== 'object' || each === null) return;
      for (const [key, inner] of Object.entries(each)) {
        places.push([each as Record<string, unknown>, key]);
        walk(inner);
      }
    };
    walk(copy);
    if (places.length === 0) return other;
    const [parent, key] = places[which % places.length]!;
    if (other === undefined) Reflect.deleteProperty(parent, key);
    else parent[key] = other;
    return copy;
  });
}
