import type { Channel } from '../config/schema.js';
import type { ReadModels } from '../detector/read-models.js';
import { StopgapError } from '../kernel/errors.js';
import type { Clock } from '../kernel/time.js';
import { HOUR } from '../kernel/time.js';
import { envelope, newId } from '../runtime/ids.js';
import type { EventStore } from '../store/port.js';
import type { ChannelState, Delivery } from './channel-state.js';
import type { ChannelFact, Item, Notice } from './events.js';
import { noticesStream } from './events.js';
import { readChannel } from './notices.js';

export interface NoticeCommandsOptions {
  readonly channels: readonly Channel[];
  readonly store: Pick<EventStore, 'append' | 'readStream'>;
  readonly models: Pick<ReadModels, 'ledger'>;
  readonly clock: Clock;
  /** What this process knows of a channel, if it sends notices itself. */
  readonly live?: (channel: string) => ChannelState | undefined;
}

/** What people ask of notices. It is recorded, and the process with the role `worker` does it. */
export class NoticeCommands {
  readonly #options: NoticeCommandsOptions;

  constructor(options: NoticeCommandsOptions) {
    this.#options = options;
  }

  /** Every channel of the configuration, with what became of its notices. @throws StoreUnavailable */
  async list(): Promise<readonly { readonly channel: Channel; readonly state: ChannelState }[]> {
    const { channels, store, live } = this.#options;
    return Promise.all(
      channels.map(async (channel) => ({
        channel,
        state: live?.(channel.name) ?? (await readChannel(store, channel)),
      })),
    );
  }

  /** Has a dead letter sent again. @throws StopgapError `not-found`, `conflict` */
  async resend(
    id: string,
    by: string,
    correlation: string,
  ): Promise<{ channel: Channel; delivery: Delivery }> {
    for (const { channel, state } of await this.list()) {
      const delivery = state.deliveries.find(({ notice }) => notice.id === id);
      if (delivery === undefined) continue;
      if (delivery.state !== 'dead')
        throw new StopgapError(
          'conflict',
          `this notice is ${delivery.state}: only what was given up is resent`,
        );
      // Two who ask at once ask for one.
      await this.#append(
        channel,
        { type: 'NoticeResent', data: { notice: id } },
        by,
        correlation,
        state.revision,
      );
      return { channel, delivery };
    }
    throw new StopgapError('not-found', `there is no notice ${id}: stopgap notify list shows them`);
  }

  /** Has a channel say what the newest block made it say, marked as a test. @throws StopgapError `not-found` */
  async test(name: string, by: string, correlation: string): Promise<Notice> {
    const channel = this.#options.channels.find((one) => one.name === name);
    if (channel === undefined)
      throw new StopgapError('not-found', `there is no channel ${name}: stopgap notify list shows them`);
    const item = this.#sample(by);
    const owners = Object.values(channel.owners ?? {});
    const notice: Notice = {
      ...{
        id: newId(),
        kind: 'test',
        at: this.#options.clock.now(),
        items: [item],
        counts: { [item.event]: 1 },
      },
      // Only owners are told there.
      ...(channel.type === 'mail' && channel.to === undefined ? { to: owners[0]! } : {}),
    };
    // An owner must not read of another one's block.
    const told =
      notice.to === undefined ? notice : { ...notice, items: [this.#example(by)], counts: { imposed: 1 } };
    await this.#append(channel, { type: 'NoticeDue', data: { notice: told } }, by, correlation, 'any');
    return told;
  }

  /** What the newest block would say. */
  #sample(by: string): Item {
    const { ledger } = this.#options.models;
    const newest = [...ledger.kept()].reduce<ReturnType<typeof ledger.get>>(
      (best, entry) => (best === undefined || entry.version > best.version ? entry : best),
      undefined,
    );
    if (newest === undefined) return this.#example(by);
    const { id: block, subject, version: position, evidence, description, rule } = newest;
    const event = newest.since === undefined ? 'proposed' : 'imposed';
    const until = newest.since === undefined ? newest.lapsesAt : newest.until;
    const { at, by: actor } = newest.history[0]!;
    return {
      ...{ event, position, at, by: actor, block, subject: { type: subject.type, value: subject.value } },
      why: evidence?.sentence ?? description,
      ...(until === undefined ? {} : { until }),
      ...(rule === undefined ? {} : { rule }),
    };
  }

  /** There is no block yet. */
  #example(by: string): Item {
    const at = this.#options.clock.now();
    return {
      ...{ event: 'imposed', position: 0, at, by, block: newId() },
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
