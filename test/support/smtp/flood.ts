import { Dialogue } from './dialogue.js';

/**
 * One account on many connections at full speed, one recipient a message, until every connection is refused.
 *
 * @returns how many messages were acknowledged
 */
export async function flood(
  port: number,
  { user, password, connections }: { user: string; password: string; connections: number },
): Promise<number> {
  const sessions = await Promise.all(Array.from({ length: connections }, () => Dialogue.hello(port)));
  const logins = await Promise.all(sessions.map((session) => session.login(user, password)));
  if (logins.some((reply) => !reply.startsWith('235')))
    throw new Error(`not logged in: ${logins.join(', ')}`);
  let acknowledged = 0;
  await Promise.all(
    sessions.map(async (session, index) => {
      for (let n = 0; ; n++) {
        session.write(`MAIL FROM:<${user}>\r\nRCPT TO:<u${n}@c${index}.test>\r\nDATA\r\n`);
        const [, rcpt, data] = await session.replies(3);
        if (!rcpt!.startsWith('250') || !data!.startsWith('354')) break;
        if (!(await session.say('Subject: x\r\n\r\nx\r\n.')).startsWith('250')) break;
        acknowledged++;
      }
      await session.quit();
    }),
  );
  return acknowledged;
}
