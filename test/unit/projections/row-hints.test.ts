import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import {
  clientNetwork,
  domainOf,
  normalizeAccount,
  normalizeAddress,
} from '../../../src/sending/identity.js';
import type { Subject } from '../../../src/sending/subjects.js';
import { rulesChanged, sent } from '../../support/sends.js';

const START = Date.UTC(2026, 0, 1);
const RULES = ['account', 'address', 'domain', 'ip']
  .map((per) => `  - { id: ${per}, per: ${per}, count: messages, window: 1h, limit: 100000, then: observe }`)
  .join('\n');

/* The rows of an account's last send are only a guess: an account that changes, comes back or has a tag counts all
   the same. */
describe('return path, domain and network beside an account', () => {
  const login = fc.constantFrom(
    'a@x.example',
    'A@X.example',
    'a+t@x.example',
    'b@y.x.example',
    'plain',
    'p+t',
    '',
  );
  const message = fc.record({
    account: login,
    returnPath: fc.oneof(login, fc.constantFrom('list@z.example', 'a+other@x.example')),
    ip: fc.constantFrom('192.0.2.1', '192.0.2.2', '2001:db8::1', '2001:db8:0:0:9::2'),
    entitled: fc.boolean(),
    // A long pause empties every window, and rows go to others.
    pause: fc.constantFrom(0, MINUTE, DAY),
  });

  it('counts as if each were looked up again', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 60 }), (messages) => {
        const volume = new SendVolume();
        volume.apply(rulesChanged(RULES, START, 1));
        const counted: { at: number; key: string }[] = [];
        const logins = new Set<string>();
        let at = START;
        messages.forEach(({ pause, ...sender }, index) => {
          at += pause;
          volume.apply(sent(at, index + 2, sender));
          for (const { type, value } of whoSent(sender, logins))
            counted.push({ at, key: `${type} ${value}` });
        });
        // Everything is in the newest hour, as whole minutes: no bucket is cut.
        for (const key of new Set(counted.map((each) => each.key))) {
          const [type, value] = key.split(' ') as [Subject['type'], string];
          const expected = counted.filter((each) => each.key === key && each.at > at - HOUR).length;
          assert.equal(volume.readings({ type, value }, at)[0]!.observed, expected, key);
        }
      }),
    );
  });
});

function whoSent(
  sender: { account: string; returnPath: string; ip: string; entitled: boolean },
  logins: Set<string>,
): readonly Subject[] {
  const account = sender.account === '' ? undefined : normalizeAccount(sender.account);
  const path = sender.returnPath === '' ? undefined : normalizeAddress(sender.returnPath);
  if (account !== undefined) logins.add(account);
  const isAnothers = path !== undefined && path !== account && logins.has(path);
  const own = account === undefined || (sender.entitled && !isAnothers) ? path : undefined;
  const domain = domainOf(account ?? '') ?? domainOf(own ?? '');
  return [
    ...(account === undefined ? [] : [{ type: 'account', value: account } as const]),
    ...(own === undefined ? [] : [{ type: 'address', value: own } as const]),
    ...(domain === undefined ? [] : [{ type: 'domain', value: domain } as const]),
    { type: 'ip', value: clientNetwork(sender.ip) },
  ];
}
