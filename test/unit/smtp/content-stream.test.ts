import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ContentStream } from '../../../src/smtp/content-stream.js';

interface Taken {
  readonly content: string;
  /** How many pieces the message's reader got. */
  readonly pieces: number;
  /** The lines that came after the message. */
  readonly commands: readonly string[];
  readonly counted: number;
}

/** What a message becomes that comes in these pieces, with what follows it. */
async function take(chunks: readonly string[]): Promise<Taken> {
  const stream = new ContentStream();
  const commands: string[] = [];
  stream.oncommand = (command, callback) => {
    commands.push(command.toString('latin1'));
    callback?.();
  };
  const data = stream.startDataMode();
  const pieces: Buffer[] = [];
  data.on('data', (piece: Buffer) => pieces.push(piece));
  data.on('end', () => stream.continue());
  for (const chunk of chunks)
    await new Promise((resolve) => stream.write(Buffer.from(chunk, 'latin1'), resolve));
  await new Promise<void>((resolve) => stream.end(resolve));
  const content = Buffer.concat(pieces);
  return { content: content.toString('latin1'), pieces: pieces.length, commands, counted: stream.dataBytes };
}

/** RFC 5321 section 4.5.2 over the whole text; the dots of a line that a bare LF began are taken out too. */
function reference(text: string): { content: string; rest: string } {
  const end = `\r\n${text}`.indexOf('\r\n.\r\n');
  const content = `\n${text.slice(0, end)}`.replace(/\n\.\./g, '\n.').slice(1);
  return { content, rest: text.slice(end + 3) };
}

const BYTES = fc.constantFrom('\r', '\n', '.', 'a', '\r\n', '\r\n.', '\r\n..', '\n..');

describe('the content of a message', () => {
  test('is the same in whatever pieces it comes, and ends where it ends', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(BYTES, { maxLength: 30 }),
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 10 }),
        async (parts, lengths) => {
          const text = `${parts.join('')}\r\n.\r\nNOOP\r\n`;
          const chunks: string[] = [];
          for (let from = 0, n = 0; from < text.length; n++) {
            const length = lengths[n % lengths.length]!;
            chunks.push(text.slice(from, from + length));
            from += length;
          }
          const { content, rest } = reference(text);
          const taken = await take(chunks);
          assert.equal(taken.content, content);
          assert.equal(taken.counted, content.length);
          assert.deepEqual(taken.commands.join('\n'), rest.split(/\r?\n/).slice(0, -1).join('\n'));
        },
      ),
      { numRuns: 2000, seed: 5321 },
    );
  });

  test('goes on in the pieces that it came in, however many of its lines begin with dots', async () => {
    const piece = '..\r\n'.repeat(16_000);
    const { content, pieces } = await take([piece, piece, '.\r\n']);
    assert.equal(content, '.\r\n'.repeat(32_000));
    assert.equal(pieces, 2);
  });

  test('of a message without any is nothing', async () => {
    assert.deepEqual(await take(['.\r\nRSET\r\n']), {
      content: '',
      pieces: 0,
      commands: ['RSET'],
      counted: 0,
    });
  });
});
