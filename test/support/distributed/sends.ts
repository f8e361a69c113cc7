import assert from 'node:assert/strict';
import type { Dialogue } from '../smtp/dialogue.js';
import type { Node } from './node.js';

/** Recipient domains that were answered with 250, one of each message only, so that each can be looked for. */
export type Acknowledged = string[];

let serial = 0;

/** One message to so many recipients; its domain goes to `acknowledged` where it was taken. Gives the last reply. */
export async function sendOne(
  session: Dialogue,
  from: string,
  acknowledged: Acknowledged,
  recipients = 1,
): Promise<string> {
  const domain = `m${++serial}.sent.test`;
  const to = Array.from({ length: recipients }, (_, index) => `r${index}@${domain}`);
  const reply = await session.send(from, to);
  if (reply.startsWith('250')) acknowledged.push(domain);
  else await session.say('RSET');
  return reply;
}

/** Sends until it is refused, over so many sessions at once, or until each has sent `most`. */
export async function floodAt(
  node: Node,
  from: string,
  acknowledged: Acknowledged,
  { sessions = 4, recipients = 5, most = 100 } = {},
): Promise<{ readonly refused: boolean }> {
  const refused = await Promise.all(
    Array.from({ length: sessions }, async () => {
      const session = await node.session(from);
      try {
        for (let n = 0; n < most; n++) {
          const reply = await sendOne(session, from, acknowledged, recipients);
          if (!reply.startsWith('250')) {
            assert.match(reply, /^4\d\d /, 'a refusal is temporary');
            return true;
          }
        }
        return false;
      } finally {
        session.vanish();
      }
    }),
  );
  return { refused: refused.some(Boolean) };
}
