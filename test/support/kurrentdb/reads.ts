import { once } from 'node:events';
import { status, type ServerWritableStream } from '@grpc/grpc-js';
import { failure, streamDeleted, TOO_SLOW, type Faults } from './faults.js';
import type { Log, Stored } from './log.js';
import * as message from './messages.js';
import { streams, type StreamsPb } from './protocol.js';

type Call = ServerWritableStream<StreamsPb.ReadReq, StreamsPb.ReadResp>;

/** The server looks so far for the next match before it says how far it has come, unless it is told otherwise. */
const SEARCH_WINDOW = 32;

/** Serves Read: streams and $all, both directions, and subscriptions to $all. */
export class Reads {
  private readonly subscribers = new Set<Call>();

  constructor(
    private readonly log: Log,
    private readonly faults: Faults,
  ) {}

  readonly read = (call: Call): void => {
    const options = call.request.getOptions()!;
    const subscribing = options.hasSubscription();
    if (this.faults.stalled.includes(subscribing ? 'subscribe' : 'read')) return;
    const refusal = this.faults.refusal(call.metadata);
    if (refusal) {
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

  /** Index of the event at which to begin. A position at which no event begins is refused. */
  private start(options: StreamsPb.ReadReq.Options.AllOptions): number {
    if (options.hasStart()) return 0;
    if (options.hasEnd()) return this.log.all.length;
    const { commit, prepare } = {
      commit: options.getPosition()!.getCommitPosition(),
      prepare: options.getPosition()!.getPreparePosition(),
    };
    const index = this.log.indexOf(Number(commit));
    if (index === undefined || commit !== prepare) {
      throw Object.assign(
        new Error('invalid position'),
        failure(status.UNKNOWN, `invalid position ${commit}`),
      );
    }
    return index;
  }

  private async subscription(call: Call, options: StreamsPb.ReadReq.Options): Promise<void> {
    const structured = options.getUuidOption()?.hasStructured() ?? true;
    const filter = options.getFilter();
    const wanted = filterOf(options);
    const all = options.getAll()!;
    // Where a read includes its position, a subscription begins behind it.
    let next = this.start(all) + (all.hasPosition() ? 1 : 0);
    const multiplier = filter?.getCheckpointintervalmultiplier() ?? 1;
    if (multiplier === 0) throw Object.assign(new Error(), failure(status.INVALID_ARGUMENT, 'interval of 0'));
    const interval = (filter?.hasMax() ? filter.getMax() : SEARCH_WINDOW) * multiplier;
    let since = 0;
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
            const position = this.log.all.at(-1)!.position;
            if (filter) await send(call, message.checkpointMessage(position, this.log.now()));
            await send(call, message.caughtUpMessage(position, this.log.now()));
            continue;
          }
          await new Promise<void>((resolve) => (wake = resolve));
          continue;
        }
        next++;
        if (wanted(event)) await send(call, message.eventMessage(event, structured));
        if (filter && ++since >= interval) {
          since = 0;
          await send(call, message.checkpointMessage(event.position, this.log.now()));
        }
      }
    } finally {
      forget();
      this.subscribers.delete(call);
    }
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

/** Writes, and waits where the client does not keep up; false where the call is over. */
async function send(call: Call, response: StreamsPb.ReadResp): Promise<boolean> {
  if (!isOpen(call)) return false;
  if (!call.write(response)) {
    await Promise.race([once(call, 'drain'), once(call, 'cancelled'), once(call, 'close')]);
  }
  return isOpen(call);
}
