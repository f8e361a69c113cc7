import { actorName } from '../../kernel/actor.js';
import type { Block } from '../api.js';
import { HELD_BECOMES } from '../parts/blocks.js';
import { plural } from '../parts/counted.js';
import { Time } from '../time.js';

type Item = Block['history'][number];

const WORDS: Readonly<Record<string, string>> = {
  BlockProposed: 'proposed a block',
  ProposalApproved: 'approved the proposal',
  ProposalDismissed: 'dismissed the proposal',
  ProposalLapsed: 'let the proposal lapse: nobody had decided',
  BlockImposed: 'blocked it',
  BlockExtended: 'made the block last longer, or wider',
  BlockShortened: 'made the block end earlier',
  BlockReleased: 'released it',
  BlockExpired: 'ended it: its time was over',
};

/** Who decided what, oldest first. */
export function History({ block: { history } }: { block: Block }) {
  return (
    <section className="panel" aria-labelledby="history">
      <h2 id="history">Who decided what</h2>
      <ol className="timeline">
        {history.map((item, index) => (
          <li key={`${item.position} ${item.type}`}>
            <Time at={item.at} as="second" />
            <div>
              <p>
                <strong>{whoOf(item.by)}</strong> {whatOf(item, endBefore(history, index))}
                {'until' in item && !isSameEnd(item, endBefore(history, index)) && (
                  <>
                    ,{' '}
                    {item.until === null ? (
                      'until it is released'
                    ) : (
                      <>
                        until <Time at={item.until} />
                      </>
                    )}
                  </>
                )}
              </p>
              {item.note !== undefined && <p className="quiet">“{item.note}”</p>}
              {item.evidence !== undefined && <p className="quiet">{item.evidence.sentence}</p>}
              {item.hook?.output !== undefined && item.hook.output !== '' && <pre>{item.hook.output}</pre>}
            </div>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** At the beginning of a sentence. The name of a person stays as it is. */
const whoOf = (by: string): string =>
  by.startsWith('admin:') ? actorName(by) : actorName(by).replace(/^[a-z]/, (letter) => letter.toUpperCase());

/** When it was to end before this; undefined if it had no end yet. */
const endBefore = (history: readonly Item[], index: number): Item['until'] =>
  history.slice(0, index).findLast(({ until }) => until !== undefined)?.until;

const isSameEnd = ({ type, until }: Item, before: Item['until']): boolean =>
  type === 'BlockExtended' && until === before;

function whatOf(item: Item, before: Item['until']): string {
  const { type, refusal, falsePositive, held, hook } = item;
  if (hook !== undefined) {
    const { action, outcome, asked, acted, moved = 0 } = hook;
    const verb = { 'hold-queue': 'held', release: 'delivered', delete: 'deleted' }[action];
    const did =
      acted === undefined || asked === undefined
        ? undefined
        : `had ${verb} ${acted.toLocaleString()} of ${plural(asked, 'message')} (by the hook)`;
    if (outcome === 'replaced')
      return `${did ?? `may have had some of the mail ${verb}`} when another decision came`;
    if (outcome === 'failed')
      return did === undefined || acted === 0
        ? `could not have the mail ${verb}: the hook failed`
        : `${did}, and then the hook failed`;
    const stay = moved === 0 ? '' : `; ${plural(moved, 'message')} on hold for other blocks of the sender`;
    // An administrator of a domain is not told how much of it was mail of others.
    return did === undefined ? `called the hook to have mail ${verb}` : `${did}${stay}`;
  }
  // Its words, its direction or what clients are told are other ones, and it ends when it did.
  if (isSameEnd(item, before))
    return refusal === undefined ? 'changed the block' : `changed what clients are told (${refusal})`;
  const wish = held === undefined ? '' : `asked for the held mail to be ${HELD_BECOMES[held]}`;
  if (type === 'HeldMailDecided') return wish;
  const also = [falsePositive === true ? 'as a false positive' : '', wish === '' ? '' : `and ${wish}`];
  if (refusal !== undefined) also.push(`and changed what clients are told (${refusal})`);
  return [WORDS[type] ?? type, ...also].filter(Boolean).join(' ');
}
