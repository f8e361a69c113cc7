import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../kernel/time.js';
import { DAY } from '../../kernel/time.js';
import type { Answer } from './route.js';
import { Problem, invalid, problemBody, problemOf } from './problem.js';

/** The most answers that are kept, and their bytes in total. */
const MOST_ANSWERS = 10_000;
const MOST_BYTES = 32 * 1024 * 1024;

interface Kept {
  readonly fingerprint: string;
  /** Its body is text by now. */
  readonly answer: Answer;
}

interface UnderWay {
  readonly fingerprint: string;
  readonly answer: Promise<Answer>;
}

/** What must be equal in two requests that count as the same. */
interface Keyed {
  /** The caller's name: keys of two callers never meet. */
  readonly caller: string;
  readonly key: string;
  readonly method: string;
  readonly url: string;
  readonly body: Buffer;
}

/** Reads an Idempotency-Key header. @throws Problem 400 */
export function idempotencyKey(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (/^[\x21-\x7e]{1,255}$/.test(header)) return header;
  throw invalid([{ field: 'Idempotency-Key', message: 'must be 1 to 255 visible ASCII characters' }]);
}

/** The same text for the same request by the same caller, also after a restart. */
export function seedOf(keyed: Keyed): string {
  return createHash('sha256')
    .update(keyed.caller)
    .update('\0')
    .update(keyed.key)
    .update('\0')
    .update(fingerprint(keyed))
    .digest('hex');
}

/** Gives the first answer again to a request that is sent again. In memory: event ids outlast a restart. */
export class IdempotentAnswers {
  readonly #kept: LRUCache<string, Kept>;
  readonly #underWay = new Map<string, UnderWay>();

  constructor(clock: Clock) {
    this.#kept = new LRUCache({
      max: MOST_ANSWERS,
      maxSize: MOST_BYTES,
      sizeCalculation: ({ answer }) => 512 + (answer.text?.length ?? 0),
      ttl: DAY,
      ttlResolution: 0,
      perf: clock,
    });
  }

  /**
   * Answers from memory, waits for the same request that is under way, or calls `work`. Problems that the client caused are
   * kept like any answer. Our own faults and a store that is away are not kept: the client is to try those again.
   *
   * @throws Problem 422 for another request under the same key; what `work` throws
   */
  async answer(keyed: Keyed, instance: string, work: () => Promise<Answer>): Promise<Answer> {
    const slot = `${keyed.caller}\0${keyed.key}`;
    const mark = fingerprint(keyed);
    const known = this.#kept.get(slot);
    const underWay = this.#underWay.get(slot);
    if ((known ?? underWay ?? { fingerprint: mark }).fingerprint !== mark) {
      const message = 'was used for another request: use a new key for each';
      const errors = [{ field: 'Idempotency-Key', message }];
      throw new Problem(422, `Idempotency-Key ${message}`, { code: 'invalid-input', members: { errors } });
    }
    const first = known?.answer ?? underWay?.answer;
    if (first !== undefined) {
      const answer = await first;
      return { ...answer, headers: { ...answer.headers, 'Idempotency-Replayed': 'true' } };
    }
    const answer = settled(instance, work);
    this.#underWay.set(slot, { fingerprint: mark, answer });
    try {
      const made = await answer;
      if (made.isUnfinished !== true) this.#kept.set(slot, { fingerprint: mark, answer: made });
      return made;
    } finally {
      this.#underWay.delete(slot);
    }
  }
}

/** The answer, even if it is a problem that the client caused. @throws errors after which the client may try again */
async function settled(instance: string, work: () => Promise<Answer>): Promise<Answer> {
  try {
    return written(await work());
  } catch (thrown) {
    const problem = problemOf(thrown);
    if (problem === undefined || problem.status >= 500) throw thrown;
    const text = JSON.stringify(problemBody(problem, instance));
    const { status, headers } = problem;
    return { status, headers, text, type: 'application/problem+json; charset=utf-8' };
  }
}

/** The answer with its body as text, so that the kept answer cannot change. */
function written(answer: Answer): Answer {
  const { body, ...rest } = answer;
  return body === undefined ? answer : { ...rest, text: JSON.stringify(body) };
}

function fingerprint({ method, url, body }: Keyed): string {
  return createHash('sha256').update(`${method} ${url}\n`).update(body).digest('hex');
}
