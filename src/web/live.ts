import type { QueryClient } from '@tanstack/react-query';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { useEffect, useSyncExternalStore } from 'react';
import type { Schemas } from './api.js';
import { urlOf } from './api.js';

/** One event of the store, as the feed tells it. */
export type LiveEvent = Schemas['FeedEvent'];

/** Whether what the page shows is up to date, and since when it is (or is not). */
export interface LiveState {
  readonly is: 'connecting' | 'live' | 'reconnecting';
  readonly heardAt: number;
}

/** The server says something every 15 s: silent for twice that, the connection is lost. */
const SILENCE = 32_000;
const WAITS = [500, 1000, 2000, 5000, 10_000];
/** What a flood of events changes is fetched anew once in that time. */
const GATHER = 400;

let state: LiveState = { is: 'connecting', heardAt: Date.now() };
const stateListeners = new Set<() => void>();
const eventListeners = new Set<(event: LiveEvent) => void>();

function become(next: LiveState): void {
  state = next;
  for (const notify of stateListeners) notify();
}

export function useLiveState(): LiveState {
  return useSyncExternalStore(
    (notify) => {
      stateListeners.add(notify);
      return () => stateListeners.delete(notify);
    },
    () => state,
  );
}

/** @param hear must not change from render to render */
export function useLiveEvents(hear: (event: LiveEvent) => void): void {
  useEffect(() => {
    eventListeners.add(hear);
    return () => void eventListeners.delete(hear);
  }, [hear]);
}

type Message = { readonly state: LiveState } | { readonly event: LiveEvent } | 'hello' | 'signed-out';

/**
 * Follows the store's events and has what they change fetched anew. All tabs of a browser share one connection: a server
 * gets no more than six of them over HTTP/1.1. The tab that has the lock follows, and tells the others.
 *
 * @returns a function that ends it
 */
export function follow(client: QueryClient): () => void {
  const ended = new AbortController();
  const { signal } = ended;
  const refresh = gatherer(client);
  const hear = (message: Message): void => {
    // A tab that is new may have been opened by somebody else, who has signed in there.
    if (message === 'hello' || message === 'signed-out')
      return void client.invalidateQueries({ queryKey: ['session'] });
    if ('state' in message) {
      // What happened while nothing was heard is unknown.
      if (message.state.is === 'live' && state.is === 'reconnecting') void client.invalidateQueries();
      return become(message.state);
    }
    refresh(message.event);
    for (const listener of eventListeners) listener(message.event);
  };
  // Browsers give both only to pages over HTTPS, or from this machine.
  if (!('locks' in navigator)) {
    void connect(hear, signal);
    return () => ended.abort();
  }
  const channel = new BroadcastChannel('stopgap-events');
  let isTeller = false;
  channel.onmessage = ({ data }) => {
    // Another tab is new, and would else wait for the next event.
    if (data === 'hello' && isTeller) channel.postMessage({ state } satisfies Message);
    hear(data as Message);
  };
  channel.postMessage('hello' satisfies Message);
  const tell = (message: Message): void => {
    channel.postMessage(message);
    hear(message);
  };
  const lead = (): Promise<void> => {
    isTeller = true;
    // The tab that told before has closed: what happened until this one hears is unknown.
    if (state.is === 'live') tell({ state: { is: 'reconnecting', heardAt: state.heardAt } });
    return connect(tell, signal);
  };
  navigator.locks.request('stopgap-events', { signal }, lead).catch(() => undefined);
  return () => {
    ended.abort();
    channel.close();
  };
}

async function connect(tell: (message: Message) => void, ended: AbortSignal): Promise<void> {
  let last: string | undefined;
  let failures = 0;
  while (!ended.aborted) {
    const lost = new AbortController();
    const signal = AbortSignal.any([ended, lost.signal]);
    let silence = setTimeout(() => lost.abort(), SILENCE);
    const heard = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => lost.abort(), SILENCE);
      failures = 0;
      tell({ state: { is: 'live', heardAt: Date.now() } });
    };
    try {
      const headers = {
        Accept: 'text/event-stream',
        ...(last === undefined ? {} : { 'Last-Event-ID': last }),
      };
      const response = await fetch(urlOf('/api/v1/events?categories=block,rules,override'), {
        headers,
        signal,
      });
      if (response.status === 400) last = undefined;
      // In one tab: the others must not go on showing what they have.
      if (response.status === 401) tell('signed-out');
      if (response.ok && response.body !== null) {
        heard();
        const parser = new EventSourceParserStream({ onComment: heard });
        const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(parser).getReader();
        for (;;) {
          const { done, value } = await events.read();
          if (done) break;
          last = value.id ?? last;
          heard();
          tell({ event: JSON.parse(value.data) as LiveEvent });
        }
      }
    } catch {
      // The connection was lost: below it is tried again, and the frame says so.
    }
    clearTimeout(silence);
    if (ended.aborted) return;
    tell({ state: { is: 'reconnecting', heardAt: state.heardAt } });
    await new Promise((resolve) => setTimeout(resolve, WAITS[Math.min(failures++, WAITS.length - 1)]));
  }
}

/** Which queries each event makes old, by the first word of their keys. */
function staleBy({ type, stream }: LiveEvent): readonly string[] {
  if (stream.startsWith('rules')) return ['rules', 'shadow', 'changes', 'overview', 'exemptions'];
  if (stream.startsWith('override')) return ['overrides', 'sender', 'changes'];
  if (type.startsWith('Exemption')) return ['exemptions', 'sender', 'changes'];
  if (type === 'RuleObserved') return ['observed'];
  return ['blocks', 'block', 'proposals', 'overview', 'sender', 'changes', 'check'];
}

function gatherer(client: QueryClient): (event: LiveEvent) => void {
  const stale = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  return (event) => {
    for (const key of staleBy(event)) stale.add(key);
    timer ??= setTimeout(() => {
      timer = undefined;
      for (const key of stale) void client.invalidateQueries({ queryKey: [key] });
      stale.clear();
    }, GATHER);
  };
}
