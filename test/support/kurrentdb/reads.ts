import { once } from 'node:events';
import { status, type ServerWritableStream } from '@grpc/grpc-js';
import { failure, streamDeleted, TOO_SLOW, type Faults } from './faults.js';
import type { Log, Stored } from './log.js';
import * as message from './messages.js';
import { streams, type StreamsPb } from './protocol.js';

type Call = ServerWritableStream<StreamsPb.ReadReq, StreamsPb.ReadResp>;

/** The server looks so far for the next match before it says how far it has come, unless it is told otherwise. */
const SEARCH_WINDOW = 32;

/** The position of a checkpoint where a catch-up from the beginning has found nothing: -1, taken for a number without sign. */
const NOWHERE = 2n ** 64n - 1n;

/** Serves Read: streams and $all, both directions, and subscriptions to $all. */
export class Reads {
  private readonly subscribers = new Set<Call>();

  /** @param before25 whether it behaves as servers before 25.0 do: `caughtUp` says neither when nor where */
  constructor(
    private readonly log: Log,
    private readonly faults: Faults,
    private readonly before25: boolean,
  ) {}

  readonly read = (call: Call): void => {
    const options = call.request.getOptions()!;
    const subscribing = options.hasSubscription();
    if (this.faults.stalled.includes(subscribing ? 'subscribe' : 'read')) return;
    const refusal = this.faults.refusal(call.metadata);
    if (refusal) {
      // A server confirms a subscription before it looks whether it is the leader.
      if (subscribing) call.write(message.confirmationMessage());
      call.emit('error', refusal);
      return;
    }
    const served = subscribing ? this.subscription(call, options) : this.page(call, options);
    served.catch((error: unknown) => call.emit('error', error));
  };

  /** Ends every subscription as if nothing were wrong. */
  endQuietly(): void {
    for (const call of this.subscribers) call.end();
  }

  /** Tells every subscriber that it is too slow. */
  tooSlow(): void {
    for (const call of this.subscribers) call.emit('error', TOO_SLOW);
  }

  private async page(call: Call, options: StreamsPb.ReadReq.Options): Promise<void> {
    const structured = options.getUuidOption()?.hasStructured() ?? true;
    const backwards = options.getReadDirection() === streams.ReadReq.Options.ReadDirection.BACKWARDS;
    const events = options.hasStream()
      ? this.streamEvents(call, options.getStream()!, backwards)
      : this.allEvents(options, backwards);
    let left = Number(options.getCount());
    for (const event of events ?? []) {
      if (left-- <= 0) break;
      if (!(await send(call, message.eventMessage(event, structured)))) return;
    }
    if (events) call.end();
  }

  private streamEvents(
    call: Call,
    options: StreamsPb.ReadReq.Options.StreamOptions,
    backwards: boolean,
  ): Iterable<Stored> | undefined {
    const name = message.nameOf(options.getStreamIdentifier());
    const seen = this.log.visible(name);
    if (seen === 'deleted') {
      call.emit('error', streamDeleted(name));
      return undefined;
    }
    if (!seen) {
      call.write(message.notFoundMessage(name));
      return [];
    }
    const from = options.hasStart() ? 0 : options.hasEnd() ? Infinity : Number(options.getRevision());
    return backwards
      ? seen.filter(({ revision }) => revision <= from).reverse()
      : seen.filter(({ revision }) => revision >= from);
  }

  private *allEvents(options: StreamsPb.ReadReq.Options, backwards: boolean): Iterable<Stored> {
    const wanted = filterOf(options);
    const { all } = this.log;
    const start = this.start(options.getAll()!);
    if (backwards) {
      for (let i = Math.min(start, all.length - 1); i >= 0; i--) if (wanted(all[i]!)) yield all[i]!;
    } else {
      // Like the server's, such a read sees what is written while it goes on.
      for (let i = start; i < all.length; i++) if (wanted(all[i]!)) yield all[i]!;
    }
  }

  /**
   * Index of the event at which to begin. A position between events is refused. One beyond the end is not: nothing is
   * there.
   */
  private start(options: StreamsPb.ReadReq.Options.AllOptions): number {
    const { all } = this.log;
    if (options.hasStart()) return 0;
    if (options.hasEnd()) return all.length;
    const commit = options.getPosition()!.getCommitPosition();
    const prepare = options.getPosition()!.getPreparePosition();
    if (Number(commit) > all.at(-1)!.position) return all.length;
    const index = this.log.indexOf(Number(commit));
    if (index === undefined || commit !== prepare) {
      const text = 'Trying to read from an invalid position.';
      throw Object.assign(new Error(text), failure(status.INVALID_ARGUMENT, text));
    }
    return index;
  }

  private async subscription(call: Call, options: StreamsPb.ReadReq.Options): Promise<void> {
    const structured = options.getUuidOption()?.hasStructured() ?? true;
    const filter = options.getFilter();
    const wanted = filterOf(options);
    const all = options.getAll()!;
    let next = this.start(all);
    // If a read includes its position, a subscription begins after it: also after one that the log has not reached.
    const after = all.hasPosition() ? Number(all.getPosition()!.getCommitPosition()) : 0;
    const multiplier = filter?.getCheckpointintervalmultiplier() ?? 1;
    if (multiplier === 0) throw Object.assign(new Error(), failure(status.INVALID_ARGUMENT, 'interval of 0'));
    const interval = (filter?.hasMax() ? filter.getMax() : SEARCH_WINDOW) * multiplier;
    let since = 0;
    /** An event or a checkpoint has told how far it is. */
    let told = all.hasPosition();
    let live = false;
    this.subscribers.add(call);
    let wake = (): void => undefined;
    const forget = this.log.onChange(() => wake());
    call.on('cancelled', () => wake());
    try {
      await send(call, message.confirmationMessage());
      while (isOpen(call)) {
        const event = this.log.all[next];
        if (!event || this.faults.stalled.includes('subscribe')) {
          if (!event && !live) {
            live = true;
            await this.catchUp(call, filter !== undefined, told);
            continue;
          }
          await new Promise<void>((resolve) => (wake = resolve));
          continue;
        }
        next++;
        if (event.position <= after) continue;
        if (wanted(event)) {
          told = true;
          await send(call, message.eventMessage(event, structured));
        }
        if (filter && ++since >= interval) {
          since = 0;
          told = true;
          await send(call, message.checkpointMessage(event.position, this.log.now()));
        }
      }
    } finally {
      forget();
      this.subscribers.delete(call);
    }
  }

  /** What is said once there is nothing more to read. */
  private async catchUp(call: Call, filtered: boolean, told: boolean): Promise<void> {
    const now = this.log.now();
    const { position } = this.log.all.at(-1)!;
    if (filtered && !told) await send(call, message.checkpointMessage(NOWHERE, now));
    else if (filtered && !this.before25) await send(call, message.checkpointMessage(position, now));
    await send(call, this.before25 ? message.bareCaughtUpMessage() : message.caughtUpMessage(position, now));
  }
}

function filterOf(options: StreamsPb.ReadReq.Options): (event: Stored) => boolean {
  const filter = options.getFilter();
  if (!filter) return () => true;
  const onStream = filter.hasStreamIdentifier();
  const expression = (onStream ? filter.getStreamIdentifier() : filter.getEventType())!;
  const regex = expression.getRegex() === '' ? undefined : new RegExp(expression.getRegex(), 'u');
  const prefixes = expression.getPrefixList();
  return ({ stream, type }) => {
    const text = onStream ? stream : type;
    return regex ? regex.test(text) : prefixes.some((prefix) => text.startsWith(prefix));
  };
}

const isOpen = (call: Call): boolean => !call.cancelled && !call.destroyed && !call.writableEnded;

/** Writes, and waits where the client does not keep up; false if the call is over. */
async function send(call: Call, response: StreamsPb.ReadResp): Promise<boolean> {
  if (!isOpen(call)) return false;
  if (!call.write(response)) {
    await Promise.race([once(call, 'drain'), once(call, 'cancelled'), once(call, 'close')]);
  }
  return isOpen(call);
}
