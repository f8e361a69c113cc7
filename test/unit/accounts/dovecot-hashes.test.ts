import assert from 'node:assert/strict';
import { createHash, pbkdf2Sync } from 'node:crypto';
import { test } from 'node:test';
import { readDovecotHash } from '../../../src/accounts/dovecot-hashes.js';
import { hashPassword, PasswordChecker, passwordCost } from '../../../src/accounts/passwords.js';
import { dovecotHash, dovecotMissing } from '../../support/smtp/real-dovecot.js';

const PASSWORD = 'correct horse \u00e9 battery';

/** Made by others: OpenBSD's bcrypt, the reference Argon2, glibc's crypt. All of `password`, except where said. */
const VECTORS: readonly (readonly [stored: string, password: string])[] = [
  ['{BLF-CRYPT}$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'U*U'],
  ['$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'U*U'],
  [
    '{ARGON2ID}$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
    'password',
  ],
  [
    '{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1',
    'Hello world!',
  ],
  [
    '{SHA512-CRYPT}$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.',
    'Hello world!',
  ],
  ['{SHA256-CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5', 'Hello world!'],
  ['{CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5', 'Hello world!'],
];

const SALT = Buffer.from('0123456789');
const salted = (algorithm: string, encoding: 'base64' | 'hex'): string =>
  Buffer.concat([createHash(algorithm).update(PASSWORD).update(SALT).digest(), SALT]).toString(encoding);

async function verifies(stored: string, password: string): Promise<boolean> {
  const hash = readDovecotHash(stored);
  assert.ok(typeof hash !== 'string', `${stored}: ${hash as string}`);
  return hash.verify(Buffer.from(password));
}

for (const [stored, password] of VECTORS)
  test(`a hash that others made is verified: ${stored.slice(0, 40)}`, async () => {
    assert.equal(await verifies(stored, password), true);
    assert.equal(await verifies(stored, `${password} `), false);
    assert.equal(await verifies(stored, ''), false);
  });

test('salted digests and PBKDF2 are verified, in base64 and in hexadecimal', async () => {
  const derived = pbkdf2Sync(PASSWORD, 'saltsalt', 5000, 20, 'sha1').toString('hex');
  for (const stored of [
    `{SSHA}${salted('sha1', 'base64')}`,
    `{SSHA256}${salted('sha256', 'base64')}`,
    `{SSHA512}${salted('sha512', 'base64')}`,
    `{ssha512.b64}${salted('sha512', 'base64')}`,
    `{SSHA256.HEX}${salted('sha256', 'hex')}`,
    `{PBKDF2}$1$saltsalt$5000$${derived}`,
  ]) {
    assert.equal(await verifies(stored, PASSWORD), true, stored);
    assert.equal(await verifies(stored, PASSWORD.toUpperCase()), false, stored);
    assert.equal(await verifies(stored, ''), false, stored);
  }
});

test('a hash that asks for too much, or is none, is refused without being shown', () => {
  const b64 = 'A'.repeat(43);
  for (const [stored, why] of [
    [`{BLF-CRYPT}$2y$31$${'a'.repeat(53)}`, /has cost 31/],
    [`{BLF-CRYPT}$2y$03$${'a'.repeat(53)}`, /has cost 3/],
    [`{BLF-CRYPT}$2y$10$${'a'.repeat(52)}`, /is no hash of bcrypt/],
    [`{ARGON2ID}$argon2id$v=19$m=4194304,t=1,p=1$${b64}$${b64}`, /at most 1 GiB/],
    [`{ARGON2ID}$argon2id$v=19$m=65536,t=999999,p=1$${b64}$${b64}`, /at most 1 GiB/],
    [`{ARGON2ID}$argon2id$v=19$m=65536,t=1,p=9999$${b64}$${b64}`, /at most 1 GiB/],
    [`{ARGON2ID}$argon2id$v=19$m=1,t=1,p=1$${b64}$${b64}`, /at most 1 GiB/],
    [`{ARGON2ID}$argon2id$v=19$m=65536,t=0,p=1$${b64}$${b64}`, /at most 1 GiB/],
    [`{ARGON2ID}$argon2id$m=65536,t=1,p=1$${b64}$${b64}`, /is no hash of Argon2/],
    [`{SHA512-CRYPT}$6$rounds=999999999$saltstring$${'a'.repeat(86)}`, /999999999 rounds/],
    [`{SHA512-CRYPT}$6$saltstring$${'a'.repeat(85)}`, /is no hash of SHA/],
    [`{PBKDF2}$1$salt$999999999$${'a'.repeat(40)}`, /999999999 rounds/],
    [`{SSHA256}${Buffer.alloc(32).toString('base64')}`, /is no hash of SSHA256/],
    [`{SSHA256}${Buffer.alloc(200).toString('base64')}`, /is no hash of SSHA256/],
    ['{SSHA256}not base64', /is no hash of SSHA256/],
    ['{PLAIN}sesame', /the scheme \{PLAIN\} cannot be verified/],
    ['{MD5-CRYPT}$1$abcdefgh$G//4keteveJp0qb8z2DxG/', /the scheme \{MD5-CRYPT\} cannot be verified/],
    ['{CRYPT}ab01FAX.bQRSU', /crypt\(3\)/],
    ['$y$j9T$abc$def', /crypt\(3\)/],
    ['', /crypt\(3\)/],
  ] as const) {
    const read = readDovecotHash(stored);
    assert.ok(typeof read === 'string', stored);
    assert.match(read, why);
    assert.ok(!read.includes(b64) && !read.includes('sesame') && !read.includes('aaaaaaaa'), read);
    assert.equal(passwordCost(stored), 0, stored);
  }
});

test('a hash of a file is read in a time that does not grow with the square of its length', () => {
  for (const hostile of [
    '{SSHA}' + 'A'.repeat(1_000_000),
    '$6$' + 'a$'.repeat(500_000),
    '{' + 'x'.repeat(1_000_000),
  ]) {
    const begun = performance.now();
    assert.ok(typeof readDovecotHash(hostile) === 'string');
    assert.ok(performance.now() - begun < 500);
  }
});

test('a check that takes long does not hold the event loop', async () => {
  const checker = new PasswordChecker();
  const stored = VECTORS[2]![0];
  await checker.verify(VECTORS[0]![0], 'password', { cost: 0 }); // the thread is there
  let turns = 0;
  const turning = setInterval(() => turns++, 1);
  assert.equal(await checker.verify(stored, 'password', { cost: 0 }), true);
  clearInterval(turning);
  assert.ok(turns >= 3, `the event loop turned ${turns} times`);
});

test('several checks that take long run at a time, each with its own answer', async () => {
  const checker = new PasswordChecker({ concurrency: 3 });
  const stored = VECTORS[0]![0];
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, index) => checker.verify(stored, index % 2 ? 'U*U' : 'U*V', { cost: 0 })),
  );
  assert.deepEqual(
    answers,
    Array.from({ length: 12 }, (_, index) => index % 2 === 1),
  );
});

test('an unknown user costs what the dearest hash of the file costs, whatever made it', async () => {
  const checker = new PasswordChecker();
  const [dear] = VECTORS[2]!;
  const like = dear.replace('m=65536', 'm=16384');
  const work = async (stored: string | undefined): Promise<number> => {
    const begun = process.cpuUsage();
    for (let round = 0; round < 4; round++)
      assert.equal(await checker.verify(stored, 'wrong', { cost: passwordCost(like), like }), false);
    const { user, system } = process.cpuUsage(begun);
    return user + system;
  };
  await work(like); // the thread is there
  const [known, unknown] = [await work(like), await work(undefined)];
  assert.ok(unknown / known > 0.6 && unknown / known < 1.7, `${unknown / known}`);
  assert.equal(await checker.verify(undefined, 'password', { like: dear }), false, 'it is the work alone');
});

test('a user whose hash is cheap is made up for, about', async () => {
  const checker = new PasswordChecker();
  const cost = passwordCost(await hashPassword(PASSWORD));
  const cheap = `{SSHA512}${salted('sha512', 'base64')}`;
  const begun = process.cpuUsage();
  assert.equal(await checker.verify(cheap, PASSWORD, { cost }), true);
  const { user, system } = process.cpuUsage(begun);
  assert.ok(user + system > 10_000, `${user + system} microseconds`);
});

for (const scheme of [
  'BLF-CRYPT',
  'SHA512-CRYPT',
  'SHA256-CRYPT',
  'ARGON2ID',
  'ARGON2I',
  'PBKDF2',
  'SSHA',
  'SSHA256',
  'SSHA512',
  'SSHA512.HEX',
  'SSHA256.b64',
  'CRYPT',
])
  test(`what doveadm pw -s ${scheme} makes is verified`, { skip: dovecotMissing() }, async () => {
    const stored = dovecotHash(scheme, PASSWORD);
    assert.equal(await verifies(stored, PASSWORD), true, stored);
    assert.equal(await verifies(stored, 'another'), false, stored);
  });
