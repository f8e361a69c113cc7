import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SpanStatusCode } from '@opentelemetry/api';
import type { BlockFact } from '../../../src/blocks/events.js';
import { StopgapError } from '../../../src/kernel/errors.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { CausedBlocks } from '../../../src/tracing/tracing.js';
import { traceparentOf } from '../../../src/tracing/spans.js';
import { newEvent, TRACE } from '../../support/store/events.js';
import { recordedTracing } from '../../support/tracing/recorded.js';

const ALICE = parseSubject('account', 'alice@example.com');

function imposed(block: string, trace: string): RecordedEvent {
  const stream = 'block-account:alice@example.com';
  const at = { stream, revision: 0, position: 7, recordedAt: 0 };
  return { ...newEvent({ block, subject: ALICE }, { type: 'BlockImposed', trace }), ...at };
}

describe('the share that is traced', () => {
  test('is chosen one by one', () => {
    const throws = [0, 0.0099, 0.01, 0.5, 0.999];
    const { tracing } = recordedTracing(0.01, () => throws.shift()!);
    assert.deepEqual(
      [1, 2, 3, 4, 5].map(() => tracing.chosen()),
      [true, true, false, false, false],
    );
  });

  test('may be nothing, or everything', () => {
    assert.equal(recordedTracing(0, () => 0).tracing.chosen(), false);
    assert.equal(recordedTracing(1, () => 0.999_999_999).tracing.chosen(), true);
  });
});

describe('the first refusal by a block', () => {
  test('belongs to the trace of the block; later ones to none', () => {
    const { tracing, one } = recordedTracing();
    tracing.folded(imposed('b-1', TRACE), TRACE);
    const first = tracing.refused('b-1', 'rcpt', 451, 's.1', undefined);
    assert.equal(first!.slice(3, 35), TRACE.slice(3, 35));
    assert.equal(tracing.refused('b-1', 'rcpt', 451, 's.2', undefined), undefined);
    assert.deepEqual(one('refusal').attributes, {
      'stopgap.block': 'b-1',
      'stopgap.stage': 'rcpt',
      'stopgap.reply': 451,
      'stopgap.correlation': 's.1',
    });
  });

  test('may come before the event of the block, and is not the first again when that comes', () => {
    const { tracing, one } = recordedTracing();
    const verdict = tracing.start('verdict');
    tracing.anticipated('b-1', verdict);
    tracing.refused('b-1', 'data', 451, 's.1', undefined);
    tracing.folded(imposed('b-1', traceparentOf(verdict)), traceparentOf(verdict));
    assert.equal(tracing.refused('b-1', 'rcpt', 451, 's.2', undefined), undefined);
    assert.equal(one('refusal').parentSpanContext!.spanId, verdict.spanContext().spanId);
  });

  test('is tied to the transaction that was refused, both ways', () => {
    const { tracing, one } = recordedTracing();
    tracing.folded(imposed('b-1', TRACE), TRACE);
    const command = tracing.start('RCPT TO');
    tracing.refused('b-1', 'rcpt', 451, 's.1', command);
    command.end();
    const ids = (name: string): string[] => one(name).links.map(({ context }) => context.spanId);
    assert.deepEqual(ids('refusal'), [one('RCPT TO').spanContext().spanId]);
    assert.deepEqual(ids('RCPT TO'), [one('refusal').spanContext().spanId]);
  });

  test('of a block that no trace has to do with is none', () => {
    const { tracing, spans } = recordedTracing();
    assert.equal(tracing.refused('b-9', 'rcpt', 451, 's.1', undefined), undefined);
    assert.deepEqual(spans(), []);
  });

  test('is forgotten for the oldest blocks if there are too many', () => {
    const caused = new CausedBlocks();
    for (let n = 0; n <= 10_000; n++) caused.imposed(`b-${n}`, TRACE);
    assert.equal(caused.refuses('b-0'), undefined);
    assert.equal(caused.refuses('b-1'), TRACE);
  });
});

describe('a command', () => {
  const fact: BlockFact = { type: 'BlockExpired', data: { block: 'b-1', dueAt: 1 } };

  test('belongs to its caller, and points to what happened before', () => {
    const { tracing, one } = recordedTracing();
    const request = tracing.start('POST');
    const command = tracing.command('release', ALICE, traceparentOf(request));
    const carried = command.begin(TRACE);
    command.end([fact]);
    const span = one('command release');
    assert.equal(span.parentSpanContext!.spanId, request.spanContext().spanId);
    assert.deepEqual(
      span.links.map(({ context }) => context.spanId),
      [TRACE.slice(36, 52)],
    );
    assert.equal(carried.slice(36, 52), span.spanContext().spanId);
    assert.deepEqual(span.attributes, {
      'stopgap.subject.type': 'account',
      'stopgap.outcome': 'BlockExpired',
      'stopgap.block': 'b-1',
    });
  });

  test('that nobody traced goes on with what happened before', () => {
    const { tracing, one } = recordedTracing();
    const command = tracing.command('expire', ALICE, undefined);
    command.begin(TRACE);
    command.end([]);
    assert.equal(one('command expire').parentSpanContext!.spanId, TRACE.slice(36, 52));
    assert.deepEqual(one('command expire').links, []);
    assert.equal(one('command expire').attributes['stopgap.outcome'], 'nothing to do');
  });

  test('tried again is one command', () => {
    const { tracing, one } = recordedTracing();
    const command = tracing.command('act', ALICE, undefined);
    assert.equal(command.begin(undefined), command.begin(TRACE));
    command.end([]);
    one('command act');
  });

  test('that fails says how, and never what the error says', () => {
    const { tracing, one } = recordedTracing();
    tracing
      .command('act', ALICE, undefined)
      .fail(new StopgapError('conflict', 'alice@example.com is blocked'));
    const span = one('command act');
    assert.equal(span.status.code, SpanStatusCode.ERROR);
    assert.equal(span.attributes['error.type'], 'StopgapError');
    assert.doesNotMatch(JSON.stringify([span.attributes, span.status, span.events]), /alice/);
  });
});
