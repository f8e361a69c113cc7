import type { AnswerOf } from '../api.js';
import { SubjectLink } from '../parts/blocks.js';
import { blockPath, useHref } from '../route.js';
import { spanOf, Time, useNow } from '../time.js';

type Overview = AnswerOf<'/api/v1/overview'>;

interface Trouble {
  readonly what: string;
  /** What it means, and what to do. */
  readonly advice: string;
}

/** What is wrong with Stopgap itself, or with what is behind it. */
export function troublesOf({ health, behindSeconds }: Overview, seesServer: boolean): readonly Trouble[] {
  const found: Trouble[] = [];
  if (health.readModels === 'behind')
    found.push({
      what: `What you see is ${spanOf(1000 * behindSeconds)} old.`,
      advice:
        'Blocks that are in force go on. Look at the load of this machine and at the connection to the store.',
    });
  if (!seesServer) return found.map(({ what }) => ({ what, advice: 'Blocks that are in force go on.' }));
  if (health.store === 'failing')
    found.push({
      what: 'The store does not take what happens.',
      advice:
        'Nothing can be decided until it does. Look whether its disk is full or the database is down; the log of Stopgap says why.',
    });
  if (health.relay === 'failing')
    found.push({
      what: 'The mail server behind Stopgap does not answer.',
      advice:
        'Everybody who sends hears 451, and tries again later. Look whether it runs, and whether smtp.relay names it.',
    });
  if (health.relay === 'unanswered')
    found.push({
      what: 'The mail server behind Stopgap has not answered the last message that it was sent.',
      advice:
        'It takes connections. Who sent that message waits, or hears 451 and tries again. Look into its log, and whether its disk is full. This ends when it answers a message, or ten minutes after the one that it did not answer.',
    });
  if (health.redis === 'failing')
    found.push({
      what: 'Redis does not answer.',
      advice: 'Blocks still begin and refuse; what is timed (ends, notices) waits until it is back.',
    });
  const kept = health.quarantine ?? 0;
  if (kept > 0)
    found.push({
      what: `The store has refused ${kept.toLocaleString()} events of this node.`,
      advice: 'They are kept on its disk. Look into the log for the reason, then run: stopgap outbox retry',
    });
  const skew = Math.abs(health.clockSkewSeconds ?? 0);
  if (skew >= 60)
    found.push({
      what: `The clock of this machine is ${spanOf(skew * 1000)} off the store's.`,
      advice: 'Windows count wrongly until it is right. Look whether time is synchronised (NTP).',
    });
  return found;
}

export function Troubles({ troubles }: { troubles: readonly Trouble[] }) {
  return (
    <div role="status">
      {troubles.map(({ what, advice }) => (
        <div className="failure" key={what}>
          <p>
            <strong>{what}</strong> {advice}
          </p>
        </div>
      ))}
    </div>
  );
}

/** Names who is over a limit or blocked while nothing stops it. */
export function NotStopped({ unstopped }: { unstopped: Overview['unstopped'] }) {
  const { senders, sentence, items } = unstopped;
  if (sentence === null) return null;
  return (
    <div className="failure" role="status">
      <p>
        <strong>{sentence}</strong>{' '}
        {items.map(({ subject, rule, block }, index) => (
          <span key={`${subject.type} ${subject.value}`}>
            {index > 0 && ', '}
            <SubjectLink subject={subject} />{' '}
            <span className="quiet">({block === null ? rule : 'blocked'})</span>
          </span>
        ))}
        {senders > items.length && ', …'}
      </p>
    </div>
  );
}

/** Names the blocks that have ended and whose held mail waits for a person. */
export function StillHeld({ held }: { held: Overview['held'] }) {
  const href = useHref();
  const { blocks, sentence, items } = held;
  if (sentence === null) return null;
  return (
    <div className="failure" role="status">
      <p>
        <strong>{sentence}</strong>{' '}
        {items.map(({ block, subject }, index) => (
          <span key={block}>
            {index > 0 && ', '}
            <a href={`#${href(blockPath(block))}`}>{subject.value}</a>
          </span>
        ))}
        {blocks > items.length && ', …'}
      </p>
    </div>
  );
}

const SILENT = 10 * 60_000;

/** Says that no mail comes, and how it would: before the first message, and after a silence. */
export function NoMail({ lastMailAt }: { lastMailAt: string | null }) {
  const now = useNow(30);
  if (lastMailAt !== null)
    return now - Date.parse(lastMailAt) < SILENT ? null : (
      <p className="at-notice">
        <span>
          No mail seen since <Time at={lastMailAt} /> (<Time at={lastMailAt} as="ago" />
          ). Where mail should flow, look whether the mail server still asks Stopgap.
        </span>
      </p>
    );
  return (
    <section className="panel">
      <h2>First steps: no mail seen yet</h2>
      <ol className="steps">
        <li>
          <strong>See it work.</strong> In the evaluation, run <code>npx stopgap simulate</code> in another
          terminal: a thief has a password, and is contained while you watch this page.
        </li>
        <li>
          <strong>Point a mail server here.</strong> Postfix asks with <code>check_policy_service</code>;
          others report over HTTP, or hand their mail on by SMTP. The document{' '}
          <code>docs/run/mail-servers.md</code> has a recipe for each.
        </li>
        <li>
          <strong>Let it learn.</strong> Limits follow what each account usually sends, after some days of
          mail. <code>docs/run/importing.md</code> says how to import the logs that you have.
        </li>
      </ol>
    </section>
  );
}
