import type { Delivery, RecipientResult, Reply } from './port.js';
import { isPositive, isTemporary } from './reply.js';

/** What can be said about several recipients in one reply line. */
const MAX_TEXT = 400;

/** All recipients share one fate. */
export function sameForAll(results: readonly RecipientResult[], reply: Reply): Delivery {
  return {
    reply,
    accepted: isPositive(reply) ? results.map((result) => result.recipient) : [],
    results: results.map(({ recipient }) => ({ recipient, reply })),
    withdrawn: false,
  };
}

/** `confirm` said no. */
export function withdrawn(results: readonly RecipientResult[]): Delivery {
  return {
    ...sameForAll(results, { code: 451, text: '4.3.0 the message was not handed over' }),
    withdrawn: true,
  };
}

/**
 * A recipient that the upstream had taken at RCPT was refused when the transaction had to be run again. Nothing
 * has been handed over, and nothing will be: said now, a permanent refusal would hit the other recipients too,
 * and a success would lose this one. When the client comes again, each recipient gets its own answer at RCPT.
 */
export function changedMind(results: readonly RecipientResult[]): Delivery {
  const refused = results.filter((result) => !isPositive(result.reply)).length;
  return {
    reply: {
      code: 451,
      text: `4.3.0 the next server has changed its answer for ${refused} of ${results.length} recipients, try again`,
    },
    accepted: [],
    results,
    withdrawn: false,
  };
}

/**
 * The client's single answer where each recipient has its own after the final dot (LMTP, RFC 2033 section 4.2):
 *
 * - all took it: 250;
 * - none took it: the first 4yz answer, for with it the client tries again; else the first 5yz;
 * - some took it, and of the others at least one says 4yz: 451, saying how many got it. The client sends the
 *   message again, and those who got it are not sent it a second time (see DeliveryMemory);
 * - some took it and the others say 5yz: 554, saying how many got it and what the others said. The client
 *   reports a failure, whose text tells that it was one in part.
 */
export function answerFor(results: readonly RecipientResult[]): Delivery {
  const delivered = results.filter((result) => isPositive(result.reply));
  const refused = results.filter((result) => !isPositive(result.reply));
  const accepted = delivered.map((result) => result.recipient);
  if (refused.length === 0) {
    return { reply: results[0]!.reply, accepted, results, withdrawn: false };
  }
  const temporary = refused.find((result) => isTemporary(result.reply));
  let reply: Reply;
  if (delivered.length === 0) reply = (temporary ?? refused[0]!).reply;
  else if (temporary !== undefined) {
    reply = {
      code: 451,
      text: `4.3.0 delivered to ${delivered.length} of ${results.length} recipients, try again for the rest`,
    };
  } else reply = { code: 554, text: refusalsText(delivered.length, refused) };
  return { reply, accepted, results, withdrawn: false };
}

function refusalsText(delivered: number, refused: readonly RecipientResult[]): string {
  const start = `5.3.0 delivered to ${delivered} of ${delivered + refused.length} recipients; refused: `;
  const full =
    start +
    refused.map(({ recipient, reply }) => `${recipient.address}: ${reply.code} ${reply.text}`).join('; ');
  if (full.length <= MAX_TEXT) return full;
  const answers = new Set(refused.map(({ reply }) => `${reply.code} ${reply.text}`));
  const short = `${start}${refused.length} with ${[...answers].join('; ')}`;
  return short.length <= MAX_TEXT ? short : `${short.slice(0, MAX_TEXT - 3)}...`;
}
