import type { Faults } from './faults.js';

export interface ServerArguments {
  /** 0 for any that is free. */
  readonly port: number;
  /** Where the events are kept over a kill; in memory unless given. */
  readonly file?: string;
  /** Whether BatchAppend is offered, as every server from 21.10 on does. */
  readonly batch?: boolean;
  /** Milliseconds from when an event is written until it can be read; none unless given. */
  readonly indexing?: number;
  /** Of the server, as it tells it; before 25 it says less to subscribers. */
  readonly version?: string;
  /** `name:password` that every call must carry; without one anybody may do anything. */
  readonly user?: string;
  /** Files in PEM form. */
  readonly tls?: { readonly key: string; readonly certificate: string };
}

/** What the process may be told, one JSON line each. */
export type Command =
  | ({ readonly do: 'faults' } & Partial<Omit<Faults, 'refusal'>>)
  /** Ends all lasting faults. */
  | { readonly do: 'heal' }
  /** Cuts all connections; new ones are taken. */
  | { readonly do: 'drop' }
  /** Ends subscriptions with status OK. */
  | { readonly do: 'end quietly' }
  | { readonly do: 'too slow' }
  /** Empties the cache of event ids. */
  | { readonly do: 'forget' }
  /** Sets the server's clock, which stands still from then on. */
  | { readonly do: 'time'; readonly now: number }
  /** The server's clock goes so many milliseconds before the real one from then on. */
  | { readonly do: 'skew'; readonly by: number }
  /** Another node leads from now on. A client that asks for the leader is sent there. */
  | { readonly do: 'follow'; readonly leader: { readonly host: string; readonly port: number } }
  /** Takes over as the leader, with all that stands in the file. */
  | { readonly do: 'lead' }
  /**
   * Is cut off from the other nodes: goes on serving what it has, answers no append, and hears of none. What it does next
   * is `notReady`.
   */
  | { readonly do: 'isolate' };
