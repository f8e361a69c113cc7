import { useSyncExternalStore } from 'react';
import type { QueryClient } from '@tanstack/react-query';
import type { Block } from '../api.js';
import { answered, api, ApiError } from '../api.js';
import { subjectName } from './blocks.js';
import { refresh } from './decisions.js';
import { fault, note } from './notes.js';

/** How long a dismissal can be taken back, in milliseconds: a server has no way to. */
export const UNDO = 8000;

interface Pending {
  readonly block: Block;
  readonly body: { readonly note?: string; readonly falsePositive?: boolean };
  readonly dueAt: number;
  readonly client: QueryClient;
  readonly timer: ReturnType<typeof setTimeout>;
  readonly hideNote: () => void;
}

let pending: ReadonlyMap<string, Pending> = new Map();
/** What a session did not live to send. */
let unsent: readonly Block[] = [];
const listeners = new Set<() => void>();

function become(next: ReadonlyMap<string, Pending>): void {
  pending = next;
  for (const notify of listeners) notify();
}

/** Takes one out, so that nobody else sends it. */
function take(id: string): Pending | undefined {
  const one = pending.get(id);
  if (one === undefined) return undefined;
  clearTimeout(one.timer);
  one.hideNote();
  become(new Map([...pending].filter(([key]) => key !== id)));
  return one;
}

/** @returns whether it is sent, if it was not before */
async function send(id: string, keepalive = false): Promise<boolean> {
  const one = take(id);
  if (one === undefined) return true;
  const { block, body, client } = one;
  try {
    await answered(api.POST('/api/v1/blocks/{id}/dismiss', { params: { path: { id } }, body, keepalive }));
    note(`Dismissed the proposal for ${subjectName(block.subject)}.`);
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) unsent = [...unsent, block];
    fault(
      new Error(
        `The proposal for ${subjectName(block.subject)} was not dismissed: ${(error as Error).message}`,
      ),
    );
    return false;
  } finally {
    refresh(client);
  }
}

/** Sends what waits at once: nobody may once they have signed out. @returns whether all of it is sent */
export async function sendPending(): Promise<boolean> {
  const sent = await Promise.all([...pending.keys()].map((id) => send(id)));
  return !sent.includes(false);
}

/**
 * Gives up what waits: somebody has signed in, and it must not go out under another's name.
 *
 * @returns what was not dismissed, also since the session had ended
 */
export function dropPending(): readonly Block[] {
  const dropped = [...unsent, ...[...pending.keys()].map((id) => take(id)!.block)];
  unsent = [];
  return dropped;
}

/** What was not sent when the page is left is sent then: browsers let such a request outlive its page. */
addEventListener('pagehide', () => {
  for (const id of pending.keys()) void send(id, true);
});

/** Dismisses in a while. Until then it can be taken back. */
export function dismissLater(client: QueryClient, block: Block, body: Pending['body']): void {
  const { id, subject } = block;
  if (pending.has(id)) return;
  unsent = unsent.filter((one) => one.id !== id);
  const as = body.falsePositive === true ? ' as a false positive' : '';
  const hideNote = note(
    `The proposal for ${subjectName(subject)} will be dismissed${as} in ${UNDO / 1000} s.`,
    {
      undo: () => void take(id),
      shown: UNDO,
    },
  );
  const timer = setTimeout(() => void send(id), UNDO);
  become(new Map(pending).set(id, { block, body, dueAt: Date.now() + UNDO, client, timer, hideNote }));
}

export const takeBack = (id: string): void => void take(id);

/** The proposals that will be dismissed, and when. */
export function usePending(): ReadonlyMap<string, { readonly dueAt: number }> {
  return useSyncExternalStore(
    (notify) => {
      listeners.add(notify);
      return () => listeners.delete(notify);
    },
    () => pending,
  );
}
