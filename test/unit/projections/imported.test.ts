import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { effectiveAt, isImported } from '../../../src/sending/events.js';
import { folding, histories, logOf } from '../../support/history.js';
import { observables } from '../../support/restored.js';
import { event, failed, sent } from '../../support/sends.js';

const NOW = Date.UTC(2026, 0, 20);
const marked = ({ data, ...rest }: RecordedEvent): RecordedEvent => ({
  ...rest,
  data: { ...(data as object), imported: 'postfix-log' },
});

describe('when imported history happened', () => {
  test('is what it says, however long ago', () => {
    const old = { at: NOW - 300 * DAY, recordedAt: NOW };
    assert.equal(effectiveAt({ ...old, data: { imported: 'postfix-log' } }), NOW - 300 * DAY);
    assert.equal(effectiveAt({ ...old, data: {} }), NOW - 5 * MINUTE);
    assert.equal(isImported({ data: { imported: 'postfix-log' } }), true);
    assert.equal(isImported({ data: null }), false);
  });

  test('is never the future', () => {
    const data = { imported: 'postfix-log' };
    assert.equal(effectiveAt({ at: NOW + DAY, recordedAt: NOW, data }), NOW + 5 * MINUTE);
  });
});

/** An imported event of every kind, loud enough to trip every rule. */
const imports = fc.array(
  fc.record({
    /** The event that it follows, as a share of all. */
    where: fc.double({ min: 0, max: 1, noNaN: true }),
    kind: fc.constantFrom('send', 'refused', 'bounce', 'fail'),
    user: fc.nat(3),
    ago: fc.oneof(fc.constant(0), fc.nat(HOUR), fc.nat(60 * DAY)),
  }),
  { maxLength: 20 },
);
type Import = typeof imports extends fc.Arbitrary<readonly (infer Value)[]> ? Value : never;

function importedEvent({ kind, user, ago }: Import, recordedAt: number, position: number): RecordedEvent {
  const account = `user${user}@example.com`;
  const at = recordedAt - ago;
  const more = { id: `imported ${position}`, recordedAt };
  const ip = `192.0.2.${user}`;
  if (kind === 'send') {
    return marked(
      sent(at, position, { account, returnPath: account, ip, recipients: 5000, size: 1e9 }, more),
    );
  }
  if (kind === 'fail') return marked({ ...failed(at, position, { network: ip, count: 500 }), ...more });
  if (kind === 'bounce') return marked(event('BounceReceived', { address: account }, at, position, more));
  const data = { account, direction: 'outbound', transaction: 't', count: 500, code: 550, entitled: true };
  return marked(event('RecipientsRefused', data, at, position, more));
}

describe('imported history', () => {
  test('is counted in no window, trips no rule and changes nothing, at any place in the log', () => {
    let verdicts = 0;
    fc.assert(
      fc.property(histories, imports, fc.nat(2 * HOUR), (history, wishes, later) => {
        // Every other position is free for what is imported.
        const log = logOf(history).map((each) => ({ ...each, position: each.position * 100 }));
        const ids = new Set<string>();
        let now = 0;
        const mixed = log.flatMap((each, index) => {
          // One that comes again has the time of when it came first.
          if (!ids.has(each.id)) now = each.recordedAt;
          ids.add(each.id);
          const imported = wishes.filter(({ where }) => Math.floor(where * log.length) === index);
          return [
            each,
            ...imported.map((wish, place) => importedEvent(wish, now, each.position + 1 + place)),
          ];
        });
        const [plain, full] = [folding(), folding()];
        for (const each of log) plain.models.apply(each);
        for (const each of mixed) full.models.apply(each);
        assert.deepEqual(full.verdicts, plain.verdicts);
        const then = (log.at(-1)?.recordedAt ?? 0) + later;
        // Any event lets the shadow's comparison go on to its time, an imported one too.
        const last = event('BounceReceived', { address: 'nobody@example.org' }, then, (log.length + 1) * 1e6);
        for (const { models } of [plain, full]) models.apply(last);
        const seen = (models: typeof plain.models): object => ({
          ...(observables(models, then) as object),
          position: 0,
          lastEventAt: 0,
          volume: models.sendVolume.dump(),
        });
        assert.deepEqual(seen(full.models), seen(plain.models));
        verdicts += plain.verdicts.length;
      }),
      { numRuns: 20 },
    );
    assert.ok(verdicts > 50, `only ${verdicts} verdicts to be disturbed`);
  });
});
