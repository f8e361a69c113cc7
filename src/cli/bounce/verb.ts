import type { Command } from 'commander';
import { messageOf } from '../../kernel/errors.js';
import type { Item } from '../../follow/follower.js';
import { idOf } from '../../runtime/ids.js';
import type { ClientOption } from '../client.js';
import { connect, withClient } from '../client.js';
import type { CliIo } from '../io.js';
import { ExitWith, note, print } from '../io.js';
import { LARGEST, readReturned } from './report.js';

/** EX_TEMPFAIL of sysexits: the mail server keeps the message, and tries again. */
const TRY_AGAIN = 75;

const MEANINGS: Readonly<Record<string, string>> = {
  recorded: 'counted',
  known: 'this message has been counted already',
  unproven: 'it is of no message that is known to have been sent',
};

/**
 * `stopgap bounce`: a mail server pipes a message to it. Exit code 75 while it cannot be told to the server; else 0, also for what
 * counts for nothing, since nothing would change that.
 */
export function bounceVerb(program: Command, io: CliIo): void {
  const bounce = program
    .command('bounce')
    .description(
      'report the mail that a message on standard input tells of: it came back, or a recipient complained',
    );
  withClient(bounce).action(async (options: ClientOption) => {
    const reading = await readReturned(await beginningOf(io.stdin));
    if ('nothing' in reading) {
      print(io, `counts for nothing: ${reading.nothing}`);
      return;
    }
    const { returned } = reading;
    const id = idOf(JSON.stringify(returned));
    const result = await tell(io, options, {
      type: 'returned',
      id,
      ...returned,
      ids: [...returned.ids],
      senders: [...returned.senders],
    });
    print(io, MEANINGS[result] ?? `counts for nothing: ${result}`);
  });
}

async function tell(io: CliIo, options: ClientOption, item: Item): Promise<string> {
  try {
    const client = await connect(io, options);
    const { results } = await client.ask('post', '/api/v1/sends', { body: [item] });
    const { result, errors } = results[0]!;
    return errors?.[0] === undefined ? result : `${result}, ${errors[0].field} ${errors[0].message}`;
  } catch (error) {
    // Also for a token that is not there, or a configuration that cannot be read: somebody will put it right.
    note(io, `stopgap: ${messageOf(error)}`);
    throw new ExitWith(TRY_AGAIN);
  }
}

/** All of it is read, or the mail server would take the command for broken; no more than the beginning is kept. */
async function beginningOf(stdin: AsyncIterable<Buffer | string>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk as Buffer).subarray(0, LARGEST - size);
    size += bytes.length;
    if (bytes.length > 0) chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}
