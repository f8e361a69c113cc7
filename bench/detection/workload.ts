import type { ActivityEvent, Batch, Source } from '../../src/backtest/world.js';
import { Labels } from '../../src/backtest/labels.js';
import { formatInstant } from '../../src/kernel/time.js';
import type { MessageAccepted } from '../../src/sending/events.js';
import { sendStream } from '../../src/sending/events.js';
import { attacks as carryOut } from './attacks.js';
import { bulkSenders } from './bulk.js';
import { informedAttacks } from './informed.js';
import type { Attack, Message } from './message.js';
import { moving } from './moving.js';
import { population } from './people.js';
import { Random } from './random.js';

const TOGETHER = 1000;

/** Messages in the order of time, and which of them are what. */
export interface Workload {
  readonly name: string;
  readonly messages: readonly Message[];
  readonly labels: Labels;
}

/** Real senders, legitimate bulk senders, and compromises of seven kinds: other ones for each seed. */
export function workload(seed: number): Workload {
  const random = new Random(seed);
  const people = population(random);
  const bulk = bulkSenders(people, random);
  const crime = carryOut(people, random);
  return labelled(
    `seed ${seed}`,
    [people.messages, bulk.messages, crime.messages],
    crime.attacks,
    bulk.accounts,
  );
}

/**
 * The same kind of senders, and compromises by thieves who know the documents.
 *
 * @param moves whether some of the senders change their places
 */
export function informedWorkload(seed: number, moves = true): Workload {
  const random = new Random(seed);
  const people = population(random);
  const bulk = bulkSenders(people, random);
  const crime = informedAttacks(people, random);
  const clean = moves ? moving(people, random) : people.messages;
  return labelled(`seed ${seed}`, [clean, bulk.messages, crime.messages], crime.attacks, bulk.accounts);
}

function labelled(
  name: string,
  sent: readonly (readonly Message[])[],
  attacks: readonly Attack[],
  bulk: readonly string[],
): Workload {
  const messages = sent.flat().sort((a, b) => a.at - b.at);
  keepApart(messages);
  const labels = attacks.map(({ kind, accounts }, index) => {
    const own = messages.filter(({ attack }) => attack === index);
    return {
      id: `attack${index}`,
      kind,
      accounts,
      start: formatInstant(own[0]!.at),
      end: formatInstant(own.at(-1)!.at),
      sent: own.map(({ account, at }) => `${account} ${formatInstant(at)}`),
    };
  });
  return { name, messages, labels: Labels.parse(JSON.stringify({ attacks: labels, bulk }), name) };
}

/** An account and a millisecond tell a message from any other: labels name no more of it. */
function keepApart(messages: Message[]): void {
  const last = new Map<string, number>();
  for (const message of messages) {
    const before = last.get(message.account);
    if (before !== undefined && message.at <= before) message.at = before + 1;
    last.set(message.account, message.at);
  }
  messages.sort((a, b) => a.at - b.at);
}

/** A line of a trace, as files hold it. */
export function traceLine({ at, attack: _, move: __, ...message }: Message): string {
  return JSON.stringify({ time: formatInstant(at), ...message });
}

/** The messages, without the way through a file. */
export function sourceOf({ name, messages }: Workload): Source {
  return {
    name,
    async *batches(): AsyncGenerator<Batch> {
      const total = messages.length;
      for (let done = 0; done < total;) {
        const activities = messages.slice(done, done + TOGETHER).map(happeningOf);
        done += activities.length;
        yield { activities, done, total };
      }
    },
  };
}

/** A message as a back-test takes it. */
export function happeningOf({ at, attack: _, move: __, ...sender }: Message): ActivityEvent {
  const entitled = sender.returnPath === sender.account;
  const data: MessageAccepted = {
    ...sender,
    direction: 'outbound',
    transaction: '',
    recipientDomains: [],
    entitled,
  };
  return {
    type: 'MessageAccepted',
    at,
    recordedAt: at,
    by: 'system:trace',
    stream: sendStream(sender.account),
    data,
  };
}
