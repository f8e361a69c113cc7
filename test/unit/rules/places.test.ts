import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseRules } from '../../../src/rules/parse.js';
import { withoutGeoData } from '../../../src/rules/explain.js';

const NOWHERE = { country: false, asn: false };

function rules(more: string): ReturnType<typeof parseRules> {
  return parseRules(`version: 1
rules:
  - { id: plain, per: account, count: messages, window: 1h, limit: 9, then: block, for: 1h }
  - { id: far, per: account, count: messages, window: 1h, limit: 9, then: block, for: 1h, ${more} }
`);
}

const said = (more: string, known = NOWHERE): readonly string[] =>
  withoutGeoData(rules(more), known).map(({ sentence }) => sentence);

describe('rules that ask where clients are, if nobody tells', () => {
  const NEVER =
    'rule "far" asks for the country of clients, but geoip.country is not configured: it never trips';

  test('never trip by a condition', () => {
    assert.deepEqual(said('when: { newCountry: true, newIp: true }'), [NEVER]);
    assert.deepEqual(said('when: { newAsn: true }'), [
      'rule "far" asks for the network operator (AS number) of clients, but geoip.asn is not configured: it never trips',
    ]);
    assert.equal(said('when: { newCountry: true, newAsn: true }').length, 2);
  });

  test('never trip by a score that is out of reach without them', () => {
    const signals = '[{ newCountry: true, points: 2 }, { newIp: true, points: 2 }]';
    assert.deepEqual(said(`score: { threshold: 3, signals: ${signals} }`), [NEVER]);
  });

  test('trip by what is left of a score that is within reach', () => {
    const signals = '[{ newCountry: true, points: 2 }, { newIp: true, points: 2 }]';
    assert.deepEqual(said(`score: { threshold: 2, signals: ${signals} }`), [
      'rule "far" asks for the country of clients, but geoip.country is not configured: it trips by its other points alone',
    ]);
  });

  test('are no matter if a database tells, nor if nothing is asked', () => {
    assert.deepEqual(said('when: { newCountry: true }', { country: true, asn: false }), []);
    assert.equal(said('when: { newCountry: true, newAsn: true }', { country: true, asn: false }).length, 1);
    assert.deepEqual(said('when: { newIp: true }'), []);
  });
});
