import type { Block, ListedBlock } from '../api.js';
import { SUBJECT_OPTIONS } from '../parts/blocks.js';
import { timesUsual, tripOf } from '../parts/counted.js';
import { spanOf, Time, useNow } from '../time.js';

/** What another person, or the clock, made of a proposal that is on the screen. */
export interface Decided {
  readonly block: ListedBlock;
  /** `alice approved it`. */
  readonly text: string;
  readonly at: string;
  /** The one before it in the list. */
  readonly after: string | undefined;
}

const TYPES = new Map(SUBJECT_OPTIONS);

/** One proposal in the list, in three lines. */
export function ProposalRow({
  block,
  decided,
  dueAt,
  takeBack,
  href,
}: {
  block: Block;
  decided: Decided | undefined;
  dueAt: number | undefined;
  takeBack: () => void;
  href: string;
}) {
  const { subject, evidence, rule } = block;
  const usual = evidence === null ? undefined : timesUsual(evidence);
  const at = subject.value.lastIndexOf('@');
  const local = at < 0 ? subject.value : subject.value.slice(0, at);
  return (
    <div className="proposal-cell">
      <p className="proposal-line">
        <a href={href} title={subject.value} tabIndex={-1}>
          <strong>{local}</strong>
          {at >= 0 && subject.value.slice(at)}
        </a>
        {subject.type !== 'account' && <span className="tag">{TYPES.get(subject.type)}</span>}
        <span className="quiet proposal-age">
          <Time at={block.proposedAt} as="ago" />
        </span>
      </p>
      <p className="proposal-line" title={evidence?.sentence ?? block.description}>
        <span>{evidence === null ? block.description : tripOf(evidence)}</span>
        {usual !== undefined && <strong className="proposal-usual">{usual}</strong>}
      </p>
      <p className="proposal-line quiet">
        {decided !== undefined ? (
          <strong>
            {decided.text} <Time at={decided.at} as="ago" />
          </strong>
        ) : dueAt !== undefined ? (
          <>
            <strong>
              Dismissed in <Countdown dueAt={dueAt} />
            </strong>
            <button type="button" className="link" onClick={takeBack}>
              Undo
            </button>
          </>
        ) : (
          <>
            <span className="mono">{rule}</span>
            <span className="proposal-signals" title={evidence?.signals?.join(', ')}>
              {evidence?.signals?.join(', ')}
            </span>
            <span>
              lapses in <Time at={block.lapsesAt} as="left" />
            </span>
          </>
        )}
      </p>
    </div>
  );
}

export function Countdown({ dueAt }: { dueAt: number }) {
  useNow();
  return <>{spanOf(Math.max(dueAt - Date.now(), 1000))}</>;
}
