import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isSampled, parseTraceparent, traceIdOf, traceparentOf } from '../../../src/tracing/spans.js';
import { recordedTracing } from '../../support/tracing/recorded.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('a traceparent', () => {
  test('names trace, span and whether they are recorded', () => {
    const context = parseTraceparent(`00-${TRACE}-${SPAN}-01`)!;
    assert.deepEqual([context.traceId, context.spanId, context.isRemote], [TRACE, SPAN, true]);
    assert.equal(isSampled(context), true);
    assert.equal(isSampled(parseTraceparent(`00-${TRACE}-${SPAN}-00`)!), false);
    assert.equal(isSampled(parseTraceparent(`00-${TRACE}-${SPAN}-03`)!), true, 'other flags do not matter');
  });

  test('of a later version is read as far as it is known', () => {
    assert.equal(parseTraceparent(`01-${TRACE}-${SPAN}-01-what-comes-later`)!.traceId, TRACE);
  });

  for (const [what, text] of Object.entries({
    'an empty text': '',
    'another header': 'b3: 1',
    'upper case': `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    'a trace of zeros': `00-${'0'.repeat(32)}-${SPAN}-01`,
    'a span of zeros': `00-${TRACE}-${'0'.repeat(16)}-01`,
    'version ff': `ff-${TRACE}-${SPAN}-01`,
    'more behind version 00': `00-${TRACE}-${SPAN}-01-more`,
    'a line break': `00-${TRACE}-${SPAN}-01\n`,
    'too short a trace': `00-${TRACE.slice(1)}-${SPAN}-01`,
  })) {
    test(`is none: ${what}`, () => assert.equal(parseTraceparent(text), undefined));
  }

  test('comes out of a span as it goes in', () => {
    const { tracing } = recordedTracing();
    const text = traceparentOf(tracing.start('one'));
    assert.match(text, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    const below = tracing.start('two', { parent: text });
    assert.equal(below.spanContext().traceId, text.slice(3, 35));
    assert.equal(traceIdOf(text), below.spanContext().traceId);
  });

  test('that asks for no record gets none, and what is below it neither', () => {
    const { tracing, spans } = recordedTracing();
    const span = tracing.start('one', { parent: `00-${TRACE}-${SPAN}-00` });
    tracing.start('two', { parent: span }).end();
    span.end();
    assert.deepEqual(spans(), []);
  });
});
