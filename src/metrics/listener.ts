import type { Socket } from 'node:net';
import type { Gauge } from 'prom-client';
import { SECOND } from '../kernel/time.js';
import type { MailDirection } from '../sending/subjects.js';
import { ReplyError } from '../smtp/replies.js';
import type { CounterCell, FlatCounter, FlatHistogram, HistogramCell } from './flat.js';

const COMMANDS = ['auth', 'mail', 'rcpt', 'data'] as const;
export type Command = (typeof COMMANDS)[number];

const OUTCOMES = ['accepted', 'deferred', 'refused', 'failed'] as const;
type CommandOutcome = (typeof OUTCOMES)[number];
/** Refused before a word was said, and cut for keeping us waiting. */
const REFUSED = ['full', 'network', 'rate'] as const;
const CUT = ['login', 'command', 'message', 'reader', 'session'] as const;
const TURNED_AWAY = [...REFUSED, ...CUT] as const;
export type TurnedAwayFor = (typeof TURNED_AWAY)[number];
const ARRIVALS = ['accepted', 'deferred', 'gone'] as const;
type Arrival = (typeof ARRIVALS)[number];

/** How a command's answer is handed to the library. */
type Done<Result> = (error?: Error | null, result?: Result) => void;

/** Where a client comes from, as a socket or a session has it. */
interface Peer {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

/** What one listener tells of itself. */
export interface ListenerMeter {
  /** A connection is there, before TLS and greeting. */
  arrived(socket: Socket): void;
  /** One was refused or cut. */
  turnedAway(reason: TurnedAwayFor): void;
  /** It is greeted: a session begins. */
  greeted(session: Peer): void;
  closed(): void;
  /** Gives a callback in place of `done` that measures the command until it is answered. */
  measured<Result>(command: Command, done: Done<Result>): Done<Result>;
}

/** The metrics that all doors share. */
interface ListenerSeries {
  readonly commands: FlatCounter<'direction' | 'stage' | 'outcome'>;
  readonly seconds: FlatHistogram<'direction' | 'stage'>;
  readonly sessions: Gauge<'direction'>;
  readonly turnedAway: FlatCounter<'direction' | 'reason'>;
}

interface Measured {
  readonly seconds: HistogramCell;
  readonly counts: Readonly<Record<CommandOutcome, CounterCell>>;
}

interface Cells {
  readonly sessions: Pick<Gauge.Internal<'direction'>, 'inc' | 'dec'>;
  readonly arrivals: Readonly<Record<Arrival, CounterCell>>;
  readonly arrivalSeconds: HistogramCell;
  readonly turnedAway: Readonly<Record<TurnedAwayFor, CounterCell>>;
  readonly commands: Readonly<Record<Command, Measured>>;
}

/** Counts in places that are looked up once: it is asked several times a message. */
export class ListenerMetrics implements ListenerMeter {
  readonly #cells: Cells;
  /** When those came that are not greeted yet, by where they come from. */
  readonly #arriving = new Map<string, number>();

  constructor(direction: MailDirection, { commands, seconds, sessions, turnedAway }: ListenerSeries) {
    const connect = { direction, stage: 'connect' };
    this.#cells = {
      sessions: sessions.labels({ direction }),
      arrivals: byName(ARRIVALS, (outcome) => commands.cell({ ...connect, outcome })),
      arrivalSeconds: seconds.cell(connect),
      turnedAway: byName(TURNED_AWAY, (reason) => turnedAway.cell({ direction, reason })),
      commands: byName(COMMANDS, (stage) => ({
        seconds: seconds.cell({ direction, stage }),
        counts: byName(OUTCOMES, (outcome) => commands.cell({ direction, stage, outcome })),
      })),
    };
  }

  arrived(socket: Socket): void {
    const peer = peerKey(socket);
    this.#arriving.set(peer, performance.now());
    socket.once('close', () => {
      if (this.#arriving.delete(peer)) this.#cells.arrivals.gone.inc();
    });
  }

  turnedAway(reason: TurnedAwayFor): void {
    this.#cells.turnedAway[reason].inc();
    if (REFUSED.some((refused) => refused === reason)) this.#cells.arrivals.deferred.inc();
  }

  greeted(session: Peer): void {
    const peer = peerKey(session);
    const began = this.#arriving.get(peer);
    this.#arriving.delete(peer);
    this.#cells.sessions.inc();
    this.#cells.arrivals.accepted.inc();
    if (began !== undefined) this.#cells.arrivalSeconds.observe((performance.now() - began) / SECOND);
  }

  closed(): void {
    this.#cells.sessions.dec();
  }

  measured<Result>(command: Command, done: Done<Result>): Done<Result> {
    const { seconds, counts } = this.#cells.commands[command];
    const began = performance.now();
    return (error, result) => {
      seconds.observe((performance.now() - began) / SECOND);
      counts[outcomeOf(error)].inc();
      done(error, result);
    };
  }
}

function outcomeOf(error: Error | null | undefined): CommandOutcome {
  if (error === null || error === undefined) return 'accepted';
  if (!(error instanceof ReplyError) || error.isFault) return 'failed';
  return error.responseCode >= 500 ? 'refused' : 'deferred';
}

/** A dual-stack socket has IPv4 addresses in IPv6 form, the session as IPv4; only one of them may name a zone. */
function peerKey({ remoteAddress = '', remotePort = 0 }: Peer): string {
  return `${remotePort} ${
    remoteAddress
      .toLowerCase()
      .replace(/^::ffff:/, '')
      .split('%', 1)[0]
  }`;
}

function byName<Name extends string, Value>(
  names: readonly Name[],
  make: (name: Name) => Value,
): Readonly<Record<Name, Value>> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<Name, Value>;
}
