import assert from 'node:assert/strict';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { Geoip } from '../../../src/geoip/geoip.js';
import { GeoDatabase } from '../../../src/geoip/database.js';
import { DAY } from '../../../src/kernel/time.js';
import { ManualClock, NOON } from '../../support/manual-clock.js';
import { mmdb } from '../../support/mmdb.js';
import type { MmdbOptions, MmdbValue } from '../../support/mmdb.js';
import { temporaryDirectory } from '../config/helpers.js';

const COUNTRIES: MmdbOptions = {
  type: 'Test-Country',
  builtAt: NOON - DAY,
  networks: {
    '192.0.2.0/24': {
      country: { iso_code: 'FR', names: { en: 'x'.repeat(300) } },
      continent: { code: 'EU' },
    },
    '198.51.100.0/25': { registered_country: { iso_code: 'SE' } },
    '198.51.100.128/25': { country: { iso_code: 'Sweden' } },
    '203.0.113.7/32': { traits: {} },
    '2001:db8:1::/48': { country: { iso_code: 'JP' } },
    '10.0.0.0/8': { country: { iso_code: 'XX' } },
    'fd00::/8': { country: { iso_code: 'XX' } },
  },
};
const NETWORKS: MmdbOptions = {
  type: 'Test-ASN',
  builtAt: NOON - DAY,
  networks: {
    '192.0.2.0/24': { autonomous_system_number: 64_500, autonomous_system_organization: 'Example' },
    '2001:db8::/32': { autonomous_system_number: 4_200_000_000 },
    '203.0.113.0/24': { traits: { autonomous_system_number: 64_501 } },
  },
};

interface World {
  readonly geoip: Geoip;
  readonly clock: ManualClock;
  readonly lines: { msg: string; [field: string]: unknown }[];
  readonly refusals: string[];
  readonly file: (name: string) => string;
}

async function open(
  context: TestContext,
  files: { readonly country?: Buffer | string; readonly asn?: Buffer },
  now = NOON,
): Promise<World> {
  const directory = temporaryDirectory(context);
  const file = (name: string): string => path.join(directory, `${name}.mmdb`);
  for (const [name, bytes] of Object.entries(files)) writeFileSync(file(name), bytes);
  const clock = new ManualClock(now);
  const lines: World['lines'] = [];
  const refusals: string[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as World['lines'][number]);
  const geoip = await Geoip.open({
    files: {
      country: files.country === undefined ? undefined : file('country'),
      asn: files.asn === undefined ? undefined : file('asn'),
    },
    clock,
    log: pino({ level: 'info', base: undefined }, { write }),
    metrics: { fileRefused: (what) => refusals.push(what) },
  });
  context.after(() => geoip.stop());
  return { geoip, clock, lines, refusals, file };
}

describe('the place of a client', () => {
  test('is told by the databases there are', async (context) => {
    const { geoip, lines } = await open(context, { country: mmdb(COUNTRIES), asn: mmdb(NETWORKS) });
    assert.deepEqual(geoip.placeOf('192.0.2.9'), { country: 'FR', asn: 64_500 });
    assert.deepEqual(geoip.placeOf('2001:db8:1::9'), { country: 'JP', asn: 4_200_000_000 });
    assert.deepEqual(geoip.placeOf('2001:db8:2::9'), { asn: 4_200_000_000 });
    assert.deepEqual(geoip.placeOf('198.51.100.1'), { country: 'SE' }, 'registered there');
    assert.deepEqual(geoip.placeOf('198.51.100.200'), {}, 'no ISO code');
    assert.deepEqual(geoip.placeOf('203.0.113.7'), { asn: 64_501 });
    assert.deepEqual(geoip.placeOf('203.0.114.1'), {});
    assert.deepEqual(geoip.placeOf('unknown'), {});
    assert.deepEqual(lines, []);
  });

  test('is told by one alone, and by none', async (context) => {
    const one = await open(context, { asn: mmdb(NETWORKS) });
    assert.deepEqual(one.geoip.placeOf('192.0.2.9'), { asn: 64_500 });
    const none = await open(context, {});
    assert.deepEqual(none.geoip.placeOf('192.0.2.9'), {});
  });

  test('is not asked of private, loopback and link-local addresses', async (context) => {
    const { geoip } = await open(context, { country: mmdb(COUNTRIES) });
    for (const ip of ['10.1.2.3', '127.0.0.1', '::1', 'fd00::1', '169.254.1.1', '192.168.1.1']) {
      assert.deepEqual(geoip.placeOf(ip), {}, ip);
    }
  });

  test('is told of IPv4 alone if the database has nothing else', async (context) => {
    const networks = { '32.0.0.0/8': { country: { iso_code: 'FR' } } };
    const { geoip } = await open(context, { country: mmdb({ ...COUNTRIES, ipVersion: 4, networks }) });
    assert.deepEqual(geoip.placeOf('32.1.2.3'), { country: 'FR' });
    // Its first bits are those of 32.1.0.0.
    assert.deepEqual(geoip.placeOf('2001:db8::1'), {});
  });
});

describe('a database', () => {
  const whole = mmdb(COUNTRIES);
  const reasonOf = (bytes: Buffer, kind: 'country' | 'asn' = 'country'): string => {
    try {
      new GeoDatabase(bytes, kind);
    } catch (error) {
      return (error as Error).message;
    }
    return 'taken';
  };

  test('that would never be read to its end, or take all memory, is refused', () => {
    const pointer = (to: number): Buffer => Buffer.from([0x38, 0, to >> 16, (to >> 8) & 255, to & 255]);
    const array = (items: readonly Buffer[]): Buffer =>
      Buffer.concat([Buffer.from([items.length, 4]), ...items]);
    const withRecord = (record: MmdbValue): Buffer =>
      mmdb({ ...COUNTRIES, networks: { '1.0.0.0/8': record } });
    const reason = 'is a broken MaxMind database (a record of it is too large)';

    const wide = Array.from({ length: 20_000 }, () => '');
    assert.equal(reasonOf(withRecord({ country: wide })), reason);

    // Each array names eight others, and takes 42 bytes.
    const nodes = 10_000;
    const children = (node: number): Buffer[] =>
      Array.from({ length: 8 }, (_, at) => pointer(42 * Math.min(nodes, 8 * node + at + 1)));
    const tree = Array.from({ length: nodes }, (_, node) => array(children(node)));
    assert.equal(reasonOf(withRecord(Buffer.concat([...tree, Buffer.from([0x40])]))), reason);

    // Six rows of pointers, each to the next one.
    const rows = Array.from({ length: 6 }, (_, row) => {
      const next = (at: number): number => (at === 1999 ? 32 + 60_000 : 32 + 5 * (2000 * row + at + 1));
      return Array.from({ length: 2000 }, (__, at) => pointer(next(at)));
    });
    const heads = array(rows.map((_, row) => pointer(32 + 10_000 * row)));
    assert.equal(reasonOf(withRecord(Buffer.concat([heads, ...rows.flat(), Buffer.from([0x40])]))), reason);

    // Each array names the next one twice, and takes 12 bytes.
    const mark = 'MaxMind.com';
    const plain = mmdb({ ...COUNTRIES, description: 'here' });
    const first = plain.lastIndexOf('here') - 1 - (plain.lastIndexOf(mark) + mark.length) + 2;
    const doubling = Array.from({ length: 16 }, (_, at) => {
      const next = pointer(first + 12 * (at + 1));
      return array([next, next]);
    });
    const description = array([...doubling, Buffer.from([0x40])]);
    assert.equal(reasonOf(mmdb({ ...COUNTRIES, description })), reason);
  });

  test('that is none, cut short, broken or of another kind is refused with the reason', () => {
    assert.equal(reasonOf(whole), 'taken');
    assert.equal(reasonOf(Buffer.alloc(0)), 'is no MaxMind database, or only a part of one');
    assert.equal(reasonOf(Buffer.from('not a database')), 'is no MaxMind database, or only a part of one');
    assert.equal(
      reasonOf(whole.subarray(0, whole.length - 300)),
      'is no MaxMind database, or only a part of one',
    );
    assert.match(reasonOf(whole.subarray(0, whole.length - 20)), /^is a broken MaxMind database/);
    assert.match(reasonOf(whole.subarray(100)), /^is a broken MaxMind database/);
    assert.equal(
      reasonOf(whole, 'asn'),
      'is a database of type Test-Country; name one of autonomous systems, such as GeoLite2-ASN.mmdb',
    );
    assert.match(reasonOf(mmdb(NETWORKS)), /^is a database of type Test-ASN; name one of countries/);
    for (const type of ['GeoLite2-City', 'GeoIP2-Enterprise', 'DBIP-Location (compat=City)']) {
      assert.equal(reasonOf(mmdb({ ...COUNTRIES, type })), 'taken', type);
    }
  });

  test('a database of any bytes is taken or refused, and then gives an answer or none', () => {
    // Every byte of records and metadata broken in turn.
    for (let at = whole.length - 700; at < whole.length; at += 3) {
      const broken = Buffer.from(whole);
      broken[at] = broken[at]! ^ 0x55;
      const reason = reasonOf(broken);
      assert.ok(reason === 'taken' || /^is (?:a broken|no|a database)/.test(reason), reason);
    }
  });

  test('stops the start if it is missing or cannot be used, and is named', async (context) => {
    await assert.rejects(
      open(context, { country: 'nonsense' }),
      /^StopgapError: geoip\.country: .*country\.mmdb: is no MaxMind database/,
    );
    const files = { country: undefined, asn: path.join(temporaryDirectory(context), 'gone.mmdb') };
    const metrics = { fileRefused: () => undefined };
    await assert.rejects(
      Geoip.open({ files, clock: new ManualClock(), log: pino({ level: 'silent' }), metrics }),
      /^StopgapError: geoip\.asn: .*gone\.mmdb: .*does not exist/,
    );
  });

  test('that is replaced is read again; one that cannot be used leaves the old one in place', async (context) => {
    const { geoip, lines, refusals, file } = await open(context, { country: mmdb(COUNTRIES) });
    const replace = async (bytes: Buffer): Promise<void> => {
      writeFileSync(file('new'), bytes);
      renameSync(file('new'), file('country'));
      await geoip.check();
    };
    const networks = { '192.0.2.0/24': { country: { iso_code: 'DE' } } };
    const next = mmdb({ ...COUNTRIES, networks });
    await replace(next);
    assert.deepEqual(geoip.placeOf('192.0.2.9'), { country: 'DE' });
    assert.deepEqual(
      lines.map(({ msg, type }) => [msg, type]),
      [['a database of places was read again', 'Test-Country']],
    );
    await replace(next.subarray(0, next.length / 2));
    assert.deepEqual(geoip.placeOf('192.0.2.9'), { country: 'DE' });
    assert.equal(lines.at(-1)!.msg, 'a file was refused; what was in force stays');
    assert.deepEqual(refusals, ['geoip']);
    rmSync(file('country'));
    await geoip.check();
    assert.deepEqual(geoip.placeOf('192.0.2.9'), { country: 'DE' });
    await replace(mmdb(COUNTRIES));
    assert.deepEqual(geoip.placeOf('192.0.2.9'), { country: 'FR' });
  });

  test('that is older than 60 days is warned of, at the start and from the day that it becomes so', async (context) => {
    const files = { country: mmdb(COUNTRIES), asn: mmdb({ ...NETWORKS, builtAt: NOON - 61 * DAY }) };
    const { clock, lines } = await open(context, files);
    const warned = () => lines.splice(0).map(({ kind, days }) => `${String(kind)} ${String(days)}`);
    assert.deepEqual(warned(), ['asn 61']);
    clock.advance(DAY);
    assert.deepEqual(warned(), ['asn 62']);
    clock.advance(59 * DAY);
    assert.deepEqual(warned().slice(-2), ['country 61', 'asn 121']);
  });
});
