import type { Channel } from '../config/schema.js';
import type { ReadModels } from '../detector/read-models.js';
import { StopgapError } from '../kernel/errors.js';
import type { Clock } from '../kernel/time.js';
import { HOUR } from '../kernel/time.js';
import { envelope, newId } from '../runtime/ids.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable, WrongExpectedRevision } from '../store/port.js';
import type { ChannelState } from './channel-state.js';
import type { ChannelFact, Item, Notice } from './events.js';
import { noticesStream, shortSentence } from './events.js';
import { readChannel } from './notices.js';

/** How often in a row the worker, or somebody else, may be faster. */
const MOST_TRIES = 20;

export interface NoticeCommandsOptions {
  readonly channels: readonly Channel[];
  readonly store: Pick<EventStore, 'append' | 'readStream'>;
  readonly models: Pick<ReadModels, 'ledger'>;
  readonly clock: Clock;
  /** What this process knows of a channel, if it sends notices itself. */
  readonly live?: (channel: string) => ChannelState | undefined;
}

export interface Listed {
  readonly channel: Channel;
  readonly state: ChannelState;
  /** Whether the state holds what has gathered too: only the process that sends knows. */
  readonly isLive: boolean;
}

/** What people ask of notices. It is recorded, and the process with the role `worker` does it. */
export class NoticeCommands {
  readonly #options: NoticeCommandsOptions;

  constructor(options: NoticeCommandsOptions) {
    this.#options = options;
  }

  /** Every channel of the configuration, with what became of its notices. @throws StoreUnavailable */
  async list(): Promise<readonly Listed[]> {
    const { channels, store, live } = this.#options;
    return Promise.all(
      channels.map(async (channel) => {
        const state = live?.(channel.name);
        return { channel, state: state ?? (await readChannel(store, channel)), isLive: state !== undefined };
      }),
    );
  }

  /** Has a dead letter sent again. @throws StopgapError `not-found`, `conflict`; StoreUnavailable */
  async resend(id: string, by: string, correlation: string): Promise<{ readonly channel: Channel }> {
    const { channels, store } = this.#options;
    for (let tried = 1; ; tried++) {
      // From the store: the worker writes to the same streams, and what is in memory may be a moment behind.
      const states = await Promise.all(channels.map((channel) => readChannel(store, channel)));
      const found = channels.flatMap((channel, index) => {
        const { deliveries, revision } = states[index]!;
        const delivery = deliveries.find(({ notice }) => notice.id === id);
        return delivery === undefined ? [] : [{ channel, delivery, revision }];
      })[0];
      if (found === undefined)
        throw new StopgapError('not-found', `there is no notice ${id}: stopgap notify list shows them`);
      const { channel, delivery, revision } = found;
      if (delivery.state !== 'dead')
        throw new StopgapError(
          'conflict',
          `this notice is ${delivery.state}: only what was given up is resent`,
        );
      try {
        // Two who ask at once ask for one.
        await this.#append(
          channel,
          { type: 'NoticeResent', data: { notice: id } },
          by,
          correlation,
          revision,
        );
        return { channel };
      } catch (thrown) {
        if (!(thrown instanceof WrongExpectedRevision)) throw thrown;
        if (tried === MOST_TRIES)
          throw new StoreUnavailable('much happens to this channel just now: try again', { cause: thrown });
      }
    }
  }

  /**
   * Has a channel say what the newest block made it say, marked as a test. Where owners alone are told nothing is sent:
   * they are customers, who must not read of a block that there is not.
   *
   * @throws StopgapError `not-found`
   */
  async test(
    name: string,
    by: string,
    correlation: string,
  ): Promise<{ readonly notice: Notice; readonly texts: Channel['texts']; readonly isSent: boolean }> {
    const channel = this.#options.channels.find((one) => one.name === name);
    if (channel === undefined)
      throw new StopgapError('not-found', `there is no channel ${name}: stopgap notify list shows them`);
    const [owner] =
      channel.type === 'mail' && channel.to === undefined ? Object.values(channel.owners ?? {}) : [];
    const item = owner === undefined ? this.#sample(by) : this.#example(by);
    const notice: Notice = {
      id: newId(),
      kind: 'test',
      at: this.#options.clock.now(),
      items: [item],
      counts: { [item.event]: 1 },
      ...(owner === undefined ? {} : { to: owner }),
    };
    if (owner !== undefined) return { notice, texts: channel.texts, isSent: false };
    await this.#append(channel, { type: 'NoticeDue', data: { notice } }, by, correlation, 'any');
    return { notice, texts: channel.texts, isSent: true };
  }

  /** What the newest block would say. */
  #sample(by: string): Item {
    const { ledger } = this.#options.models;
    const newest = [...ledger.kept()].reduce<ReturnType<typeof ledger.get>>(
      (best, entry) => (best === undefined || entry.version > best.version ? entry : best),
      undefined,
    );
    if (newest === undefined) return this.#example(by);
    const { id: block, subject, direction, version: position, evidence, description, rule } = newest;
    const event = newest.since === undefined ? 'proposed' : 'imposed';
    const until = newest.since === undefined ? newest.lapsesAt : newest.until;
    const { at, by: actor } = newest.history[0]!;
    return {
      event,
      position,
      at,
      by: actor,
      block,
      subject: { type: subject.type, value: subject.value },
      direction,
      why: shortSentence(evidence?.sentence ?? description),
      ...(until === undefined ? {} : { until }),
      ...(rule === undefined ? {} : { rule }),
    };
  }

  /** There is no block yet. */
  #example(by: string): Item {
    const at = this.#options.clock.now();
    return {
      event: 'imposed',
      position: 0,
      at,
      by,
      block: newId(),
      subject: { type: 'account', value: 'somebody@example.com' },
      why: 'This is an example: 101 messages in 10m, of 100 allowed.',
      until: at + HOUR,
    };
  }

  async #append(
    channel: Channel,
    fact: ChannelFact,
    by: string,
    correlation: string,
    expected: Parameters<EventStore['append']>[2],
  ): Promise<void> {
    const events = envelope([fact], { by, correlation }, this.#options.clock.now());
    await this.#options.store.append(noticesStream(channel.name), events, expected);
  }
}
