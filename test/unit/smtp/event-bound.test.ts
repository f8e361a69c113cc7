import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { normalizeDomain } from '../../../src/sending/identity.js';
import type { Conversation } from '../../../src/smtp/conversation.js';
import { eventBound, nameBytes } from '../../../src/smtp/message.js';
import { eventBytes } from '../../../src/store/port.js';
import { newEvent, TRACE } from '../../support/store/events.js';
import { letter } from '../../support/letters.js';

/** As the SMTP library lets them through: at most 251 characters, none of them a control character. */
const NAME = fc
  .string({ unit: letter, maxLength: 251 })
  .map((text) => text.replace(/[\p{Cc}\p{Cs}@<>\s]/gu, '').slice(0, 251));

test('the bound on an event is never below what the event of the message comes to', () => {
  fc.assert(
    fc.property(NAME, NAME, NAME, fc.array(NAME, { maxLength: 25 }), (account, returnPath, ehlo, domains) => {
      const longest = Math.max(0, ...domains.map((domain) => nameBytes(normalizeDomain(domain))));
      const data: MessageAccepted = {
        direction: 'outbound',
        account,
        returnPath,
        ehlo,
        ip: '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff',
        country: 'ZZ',
        asn: 4_294_967_295,
        transaction: 'abcdefghijklmnop.1000000',
        recipients: 100_000,
        size: Number.MAX_SAFE_INTEGER,
        entitled: false,
        recipientDomains: [...new Set(domains.map(normalizeDomain))].slice(0, 20),
      };
      const event = newEvent(
        { ...data, outboxedAt: Date.now() },
        {
          type: 'MessageAccepted',
          trace: TRACE,
          correlation: data.transaction,
          by: `smtp:${'x'.repeat(255)}`,
        },
      );
      const conversation = { account, ehlo, mail: { returnPath } } as unknown as Conversation;
      assert.ok(eventBound(conversation, domains.length, longest) >= eventBytes(event));
    }),
    { numRuns: 500 },
  );
});
