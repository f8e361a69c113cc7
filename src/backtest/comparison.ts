import type { Subject } from '../sending/subjects.js';
import { subjectKey } from '../sending/subjects.js';
import type { BacktestCase, Mail } from './cases.js';

/** What of two rule sets only one did, and what both. */
export interface Compared<Figure> {
  readonly onlyFirst: Figure;
  readonly onlySecond: Figure;
  readonly both: Figure;
}

/** Two rule sets side by side: whose blocks, and whose refusals. */
export class BacktestComparison {
  /** Messages that were refused by. */
  readonly refused: Compared<Mail> = { onlyFirst: none(), onlySecond: none(), both: none() };
  /** Of the first rules, by whether the second ones blocked the same subject meanwhile; and the other way round. */
  readonly blocks = { first: { shared: 0, only: 0 }, second: { shared: 0, only: 0 } };
  readonly #standing: readonly [Map<string, BacktestCase>, Map<string, BacktestCase>] = [
    new Map(),
    new Map(),
  ];

  message(first: boolean, second: boolean, recipients: number): void {
    if (!first && !second) return;
    const mail =
      first && second ? this.refused.both : first ? this.refused.onlyFirst : this.refused.onlySecond;
    mail.messages++;
    mail.recipients += recipients;
  }

  blocked(index: number, one: BacktestCase): void {
    const key = keyOf(one);
    this.#standing[index]!.set(key, one);
    const other = this.#standing[1 - index]!.get(key);
    if (other !== undefined) one.shared = other.shared = true;
  }

  closed(index: number, one: BacktestCase): void {
    if (one.blockedAt === null) return;
    this.#standing[index]!.delete(keyOf(one));
    this.blocks[index === 0 ? 'first' : 'second'][one.shared ? 'shared' : 'only']++;
  }
}

function none(): Mail {
  return { messages: 0, recipients: 0 };
}

function keyOf({ subject }: { readonly subject: Subject }): string {
  return subjectKey(subject);
}
