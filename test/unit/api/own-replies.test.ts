import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, test } from 'node:test';
import { ownReplies, saidInWords } from '../../../src/api/own-replies.js';
import { SaidText } from '../../../src/api/said-text.js';

const SMTP = path.resolve(import.meta.dirname, '../../../../src/smtp');
const LIBRARY = path.dirname(createRequire(import.meta.url).resolve('smtp-server'));

const OWN = ownReplies({
  isAsked: false,
  takesArriving: true,
  failsReading: false,
  failsLogins: true,
  hasLoginsWorded: false,
  askedCodes: [450],
});
const isKnown = (said: string): boolean => saidInWords(new SaidText(said), OWN).length > 0;

/** Literals that begin with an enhanced status code, with what is filled in. */
function repliesIn(source: string): string[] {
  return [...source.matchAll(/(['"`])([45]\.\d{1,3}\.\d{1,3} .*?)\1/g)]
    .map(([, , text]) => text!.replace(/\$\{verb[^}]*\}/g, 'EHLO').replace(/\$\{[^}]*\}/g, '7'))
    .filter((text) => text !== '4.7.0 7' && text !== '5.1.3 7');
}

/** What the library says by itself. */
function saidBy(source: string): string[] {
  const sent = [...source.matchAll(/\bsend\(([45]\d\d), (.*)\);/g)];
  const faults = [...source.matchAll(/\berror = (.*);/g)].map((found) => [found[0], '501', found[1]!]);
  return [...sent, ...faults].flatMap(([, code, argument]) => {
    const text = argument!
      .replace(/, (?:false|commandName|'[A-Z_]+')$/, '')
      .replace(/\([^()]*\? '[^']*' : ('[^']*')\)/, '$1')
      .replaceAll("' + '", '');
    const literals = [...text.matchAll(/'([^']*)'/g)].map(([, literal]) => literal);
    return literals.length === 0 ? [] : [`${code} ${literals.join('7')}`];
  });
}

/** What no client of Stopgap is told, for the sake of the settings that it gives the library. */
const NEVER = [
  /^421 Error: $/, // it words faults of lines itself
  /too many connected clients/i, // it counts connections itself
  /LMTP|LHLO/, // it listens by SMTP alone
  /XOAUTH2|CRAM-MD5|Username and Password/, // PLAIN and LOGIN are offered
  /wizard|mantra|shell|kill Mom/i, // not offered
];

describe('the replies that Stopgap knows as its own', () => {
  const sources = readdirSync(SMTP, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const ours = sources.flatMap((file) => repliesIn(readFileSync(path.join(SMTP, file), 'utf8')));
  const library = ['smtp-connection.js', 'sasl.js'].flatMap((file) =>
    saidBy(readFileSync(path.join(LIBRARY, file), 'utf8')),
  );

  test('are all that its source says', () => {
    assert.ok(ours.length >= 30, `only ${ours.length} were found`);
    assert.deepEqual(
      ours.filter((text) => !isKnown(text)),
      [],
    );
    const invalid = readFileSync(path.join(SMTP, 'relay/commands.ts'), 'utf8').matchAll(
      /new InvalidInput\(field, '(an address|the domain)([^']*)'/g,
    );
    for (const [, start, rest] of invalid) assert.ok(isKnown(`553 5.1.3 ${start}${rest}`), rest);
  });

  test('are all that the library says by itself', () => {
    assert.ok(library.length >= 40, `only ${library.length} were found`);
    assert.deepEqual(
      library.filter((text) => !NEVER.some((never) => never.test(text)) && !isKnown(text)),
      [],
    );
    assert.ok(isKnown('421 4.7.0 Command line too long'));
  });

  for (const said of [
    '553 5.6.7 An address beyond ASCII is not taken: SMTPUTF8 is not offered here',
    '501 5.1.3 Bad recipient address syntax',
    '501 5.1.7 Bad sender address syntax',
    '504 Error: Unrecognized authentication type',
  ])
    test(`know ${said}`, () => assert.ok(isKnown(said)));

  test('of faulty commands are not seen in words without an answer', () => {
    for (const said of ['The host is not known here', 'Authentication aborted', 'it is given twice'])
      assert.equal(isKnown(said), false, said);
  });
});
