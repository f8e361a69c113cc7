import { useSyncExternalStore } from 'react';
import { ApiError } from '../api.js';

type Undo = () => void | Promise<void>;

/** What was just done, with a way back where there is one. */
interface Note {
  readonly id: number;
  readonly text: string;
  readonly isFault: boolean;
  readonly undo: Undo | undefined;
}

/** How long a note can be seen; the pointer or the focus on it keeps it. */
const SHOWN = 10_000;
const MOST = 4;

let notes: readonly Note[] = [];
let lastId = 0;
const listeners = new Set<() => void>();
const timers = new Map<number, ReturnType<typeof setTimeout>>();

function become(next: readonly Note[]): void {
  notes = next;
  for (const notify of listeners) notify();
}

function leave(id: number): void {
  clearTimeout(timers.get(id));
  timers.delete(id);
  become(notes.filter((note) => note.id !== id));
}

function schedule(id: number, after: number): void {
  clearTimeout(timers.get(id));
  timers.set(
    id,
    setTimeout(() => leave(id), after),
  );
}

/** Says what was done. @returns a function that takes the note away */
export function note(
  text: string,
  { undo, isFault = false, shown = SHOWN }: { undo?: Undo; isFault?: boolean; shown?: number } = {},
): () => void {
  const id = ++lastId;
  become([...notes, { id, text, isFault, undo }].slice(-MOST));
  schedule(id, shown);
  return () => leave(id);
}

/** Takes away all that was said, and the ways back with it. */
export function clearNotes(): void {
  for (const { id } of notes) leave(id);
}

export function fault(error: unknown): void {
  note(error instanceof Error ? error.message : String(error), { isFault: true, shown: 2 * SHOWN });
}

/** Takes back what a note tells of. Where only the server was away, it can be tried again. */
async function takeBack(text: string, undo: Undo): Promise<void> {
  try {
    await undo();
  } catch (error) {
    const mayBeOver = error instanceof ApiError && (error.status === 0 || error.status >= 500);
    note(`This was not undone: “${text}” ${(error as Error).message}`, {
      isFault: true,
      shown: 3 * SHOWN,
      ...(mayBeOver ? { undo: () => takeBack(text, undo) } : {}),
    });
  }
}

/** The place where notes appear. It is always there, so that screen readers follow it. */
export function Notes() {
  const shown = useSyncExternalStore(
    (notify) => {
      listeners.add(notify);
      return () => listeners.delete(notify);
    },
    () => notes,
  );
  return (
    <div className="notes" role="status" aria-live="polite">
      {shown.map(({ id, text, isFault, undo }) => (
        <div
          key={id}
          className={isFault ? 'note note-fault' : 'note'}
          onPointerEnter={() => clearTimeout(timers.get(id))}
          onPointerLeave={() => schedule(id, SHOWN)}
          onFocus={() => clearTimeout(timers.get(id))}
          onBlur={() => schedule(id, SHOWN)}
        >
          <span>{text}</span>
          {undo !== undefined && (
            <button
              type="button"
              onClick={() => {
                leave(id);
                void takeBack(text, undo);
              }}
            >
              Undo
            </button>
          )}
          <button type="button" className="bare" aria-label="Close this message" onClick={() => leave(id)}>
            ×
          </button>
        </div>
      ))}
    </div>
  );
}
