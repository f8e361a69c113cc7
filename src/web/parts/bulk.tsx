import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { answered, api } from '../api.js';
import { plural } from './counted.js';
import { refresh } from './decisions.js';
import { Dialog } from './dialog.js';
import { Form, SpanField, spanBody, TextField } from './forms.js';
import type { Values } from './forms.js';
import { fault, note } from './notes.js';

/** Ids of one request. It takes 500, but nothing can be stopped, nor is any progress seen, within one. */
export const AT_ONCE = 50;
/** Of more rows than these the failures and what was decided before are shown, and how many there are. */
const ROWS = 1000;

export interface Target {
  readonly id: string;
  readonly name: string;
}

export type BulkAction = 'approve' | 'dismiss' | 'release';

const WORDS: Readonly<Record<BulkAction, { verb: string; done: string; things: string }>> = {
  approve: { verb: 'Approve', done: 'blocked', things: 'proposals' },
  dismiss: { verb: 'Dismiss', done: 'dismissed', things: 'proposals' },
  release: { verb: 'Release', done: 'released', things: 'blocks' },
};

interface Result extends Target {
  /** How it was decided before. */
  readonly already: string | undefined;
  readonly problem: string | undefined;
}

const isDone = ({ already, problem }: Result): boolean => already === undefined && problem === undefined;

/** Does one thing to many, so many at once, and says of each what became of it. It can be stopped between two requests. */
async function act(
  action: BulkAction,
  values: Values,
  chunks: AsyncIterable<readonly Target[]>,
  signal: AbortSignal,
  tell: (results: readonly Result[]) => void,
): Promise<void> {
  const text = (values['note'] ?? '').trim();
  const noted = text === '' ? {} : { note: text };
  for await (const targets of chunks) {
    if (signal.aborted) return;
    const ids = targets.map(({ id }) => id);
    const body =
      action === 'approve' ? { action, ids, ...noted, ...spanBody(values) } : { action, ids, ...noted };
    const { items } = await answered(api.POST('/api/v1/blocks/actions', { body }));
    tell(
      items.map(({ already, problem }, index) => ({
        ...targets[index]!,
        already: already ?? undefined,
        problem: problem?.detail,
      })),
    );
  }
}

/** A list in chunks that one request takes. */
export async function* chunksOf(targets: readonly Target[]): AsyncGenerator<readonly Target[]> {
  for (let first = 0; first < targets.length; first += AT_ONCE)
    yield await Promise.resolve(targets.slice(first, first + AT_ONCE));
}

/**
 * @param chunks what it is done to
 * @param count how many these are, as far as is known
 * @param done is told which have been decided
 */
export function BulkDialog({
  action,
  chunks,
  count: asked,
  close,
  done,
}: {
  action: BulkAction;
  chunks: (signal: AbortSignal) => AsyncIterable<readonly Target[]>;
  count: number;
  close: () => void;
  done: (ids: ReadonlySet<string>) => void;
}) {
  const client = useQueryClient();
  // What has been done to them takes them out of what is selected.
  const [count] = useState(asked);
  const { verb, things, done: participle } = WORDS[action];
  const [results, setResults] = useState<readonly Result[]>([]);
  const [is, setIs] = useState<'asked' | 'running' | 'over'>('asked');
  const stop = useRef(new AbortController());
  const failed = results.filter(({ problem }) => problem !== undefined);
  const before = results.filter(({ already }) => already !== undefined);
  const right = results.filter(isDone).length;

  const send = async (values: Values): Promise<void> => {
    const all: Result[] = [];
    const { signal } = stop.current;
    const tell = (some: readonly Result[]): void => {
      all.push(...some);
      setResults([...all]);
      setIs('running');
    };
    try {
      await act(action, values, chunks(signal), signal, tell);
    } catch (thrown) {
      // Nothing was done yet: the form shows what is wrong.
      if (all.length === 0) throw thrown;
      fault(thrown);
    }
    refresh(client);
    done(new Set(all.filter(({ problem }) => problem === undefined).map(({ id }) => id)));
    setIs('over');
  };
  const takeBack = async (): Promise<void> => {
    const targets = results.filter(isDone);
    let released = 0;
    const tell = (some: readonly Result[]): void => {
      released += some.filter(isDone).length;
    };
    await act('release', { note: 'undone' }, chunksOf(targets), new AbortController().signal, tell);
    refresh(client);
    note(
      `Released ${released.toLocaleString()} of ${targets.length.toLocaleString()} again. The proposals do not come back.`,
    );
    close();
  };
  const leave = (): void => {
    stop.current.abort();
    close();
  };

  const title = `${verb} ${count.toLocaleString()} ${things}`;
  const shown =
    results.length > ROWS
      ? [...failed, ...before].slice(0, ROWS)
      : [...failed, ...before, ...results.filter(isDone)];
  return (
    <Dialog title={title} close={leave}>
      <div hidden={is !== 'asked'}>
        <Form send={send} action={title} danger={action !== 'dismiss'} cancel={leave}>
          {(of) => (
            <>
              {action === 'approve' && <SpanField fault={of} first={['', 'As the rule of each says']} />}
              {action === 'release' && <HeldForThem chunks={chunks} isCounted={count <= AT_ONCE} />}
              <TextField label="Note (for your colleagues)" name="note" fault={of('note')} />
            </>
          )}
        </Form>
      </div>
      <div role="status">
        {is !== 'asked' && (
          <p>
            {is === 'running' ? `${results.length.toLocaleString()} of ${count.toLocaleString()} done… ` : ''}
            {right.toLocaleString()} {participle}
            {before.length > 0 && `, ${before.length.toLocaleString()} decided already`}
            {failed.length > 0 && `, ${failed.length.toLocaleString()} failed`}.
            {is === 'over' && results.length < count && stop.current.signal.aborted && ' It was stopped.'}
          </p>
        )}
      </div>
      {is === 'running' && (
        <progress value={results.length} max={count} aria-label="Done so far" className="bulk-progress" />
      )}
      {is === 'over' && shown.length > 0 && (
        <div className="table-scroll bulk-results" tabIndex={0} role="region" aria-label="Results">
          <table>
            <thead>
              <tr>
                <th scope="col">Subject</th>
                <th scope="col">Result</th>
              </tr>
            </thead>
            <tbody>
              {shown.map(({ id, name, already, problem }) => (
                <tr key={id}>
                  <td>{name}</td>
                  <td className={problem === undefined ? '' : 'fault'}>{problem ?? already ?? participle}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {is !== 'asked' && (
        <div className="buttons">
          {is === 'running' ? (
            <button type="button" onClick={() => stop.current.abort()}>
              Stop
            </button>
          ) : (
            <button type="button" className="primary" autoFocus onClick={close}>
              Close
            </button>
          )}
          {is === 'over' && action === 'approve' && right > 0 && (
            <button type="button" onClick={() => void takeBack().catch(fault)}>
              Undo: release {right.toLocaleString()}
            </button>
          )}
        </div>
      )}
    </Dialog>
  );
}

const STAYS =
  'What nobody has decided on stays on hold: decide on it at each block, before its release or afterwards.';

/** Says what mail is held for blocks that are to be released: nothing is asked, since each may have another answer. */
function HeldForThem({
  chunks,
  isCounted,
}: {
  chunks: (signal: AbortSignal) => AsyncIterable<readonly Target[]>;
  /** False where they are too many to ask about each. */
  isCounted: boolean;
}) {
  const asked = useQuery({
    queryKey: ['held for many'],
    queryFn: async ({ signal }) => {
      const counts: number[] = [];
      for await (const targets of chunks(signal)) counts.push(...(await heldFor(targets, signal)));
      return counts.filter((held) => held > 0);
    },
    enabled: isCounted,
    // Another dialog is about others.
    gcTime: 0,
    refetchOnWindowFocus: false,
  });
  if (isCounted && asked.isPending) return <p className="quiet loading">Asking what mail is held…</p>;
  if (asked.data === undefined)
    return <p>How much mail is held for these blocks is not known here. {STAYS}</p>;
  const messages = asked.data.reduce((sum, held) => sum + held, 0);
  if (messages === 0) return null;
  return (
    <p>
      {plural(messages, 'message is', 'messages are')} held for {asked.data.length.toLocaleString()} of these
      blocks. {STAYS}
    </p>
  );
}

const heldFor = (targets: readonly Target[], signal: AbortSignal): Promise<readonly number[]> =>
  Promise.all(
    targets.map(async ({ id }) => {
      const of = { path: { id }, query: { limit: '1' } };
      return (await answered(api.GET('/api/v1/blocks/{id}/held', { params: of, signal }))).count;
    }),
  );
