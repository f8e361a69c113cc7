import { useQuery as useServerQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { actorName } from '../../kernel/actor.js';
import type { Schemas } from '../api.js';
import { answered, api, ApiError } from '../api.js';
import { SubjectLink } from '../parts/blocks.js';
import { Choice, Form } from '../parts/forms.js';
import type { Values } from '../parts/forms.js';
import { fault } from '../parts/notes.js';
import { Failure } from '../parts/states.js';
import { Table } from '../parts/table.js';
import { Time } from '../time.js';
import { useRights } from '../who.js';

type Backtest = Schemas['Backtest'];
type Report = Schemas['BacktestReport'];
type Candidate = Schemas['BacktestCandidate'];

const DAY = 24 * 60 * 60 * 1000;
/** Cases that are listed. */
const SHOWN = 50;

/** The back-test that is shown, and what this tab tried by it: a draft, or undefined for the rules in force. */
interface Chosen {
  readonly id: string;
  readonly tried?: string | undefined;
}

/** Whether a result is of the rules that are shown. Nobody says what rules another's was of. */
const isOfThese = (chosen: Chosen | undefined, draft: string | undefined): boolean =>
  chosen !== undefined && 'tried' in chosen && chosen.tried === draft;

/** Tries rules on what has been recorded. @param draft undefined: those in force are tried */
export function BacktestPart({
  draft,
  isValid,
  isNow,
}: {
  draft: string | undefined;
  isValid: boolean;
  isNow: boolean;
}) {
  const { operates } = useRights();
  const client = useQueryClient();
  const [chosen, setChosen] = useState<Chosen>();
  const newest = useServerQuery({
    queryKey: ['backtests'],
    queryFn: () => answered(api.GET('/api/v1/backtests')),
  });
  const id = chosen?.id ?? newest.data?.items[0]?.id;
  const job = useServerQuery({
    queryKey: ['backtest', id],
    queryFn: () => answered(api.GET('/api/v1/backtests/{id}', { params: { path: { id: id! } } })),
    enabled: id !== undefined,
    refetchInterval: ({ state }) => (state.data?.state === 'running' ? 1000 : false),
    placeholderData: (before) => before,
  });
  const start = async ({ days = '' }: Values): Promise<void> => {
    const from = days === '' ? {} : { from: new Date(Date.now() - Number(days) * DAY).toISOString() };
    const rules = draft === undefined ? { rules: 'in-force' } : { rules: draft, against: 'in-force' };
    try {
      const begun = await answered(api.POST('/api/v1/backtests', { body: { ...from, ...rules } }));
      client.setQueryData(['backtest', begun.id], begun);
      setChosen({ id: begun.id, tried: draft });
    } catch (thrown) {
      const running = thrown instanceof ApiError ? thrown.problem?.['running'] : undefined;
      if (typeof running === 'string') setChosen({ id: running });
      throw thrown;
    }
  };
  const cancel = async (): Promise<void> => {
    await answered(api.DELETE('/api/v1/backtests/{id}', { params: { path: { id: id! } } }));
    void client.invalidateQueries({ queryKey: ['backtest', id] });
  };
  return (
    <section aria-labelledby="backtest">
      <div className="head">
        <h2 id="backtest">What would have happened</h2>
      </div>
      {operates && isNow ? (
        <Form action={draft === undefined ? 'Try the rules in force' : 'Try before and after'} send={start}>
          {(faultOf) => (
            <>
              <Choice
                label="On what was recorded"
                name="days"
                fault={faultOf('from')}
                options={[
                  ['7', 'in the last 7 days'],
                  ['1', 'in the last day'],
                  ['30', 'in the last 30 days'],
                  ['', 'ever'],
                ]}
              />
              {faultOf('rules') !== undefined && <p className="fault">{faultOf('rules')}</p>}
              {!isValid && <p className="quiet">The rules have to be valid first.</p>}
            </>
          )}
        </Form>
      ) : (
        <p className="quiet">An operator can try rules on what was recorded.</p>
      )}
      {job.isError && <Failure error={job.error} retry={() => void job.refetch()} />}
      {job.data !== undefined && !isOfThese(chosen, draft) && (
        <p>
          <span className="tag tag-warn">Note</span>{' '}
          {chosen !== undefined && 'tried' in chosen
            ? 'The rules above have changed since: this result is not of them.'
            : 'This result may be of other rules than those above.'}
        </p>
      )}
      {job.data !== undefined && <Job job={job.data} cancel={operates ? cancel : undefined} />}
    </section>
  );
}

function Job({ job, cancel }: { job: Backtest; cancel: (() => Promise<void>) | undefined }) {
  const { state, progress, by, startedAt, error, report } = job;
  return (
    <div className="panel backtest">
      <p className="quiet">
        Tried by {actorName(by)} <Time at={startedAt} as="ago" />
      </p>
      {state === 'running' && (
        <>
          <div className="line">
            <progress aria-label="How far it has come" value={progress?.share ?? 0} max={1} />
            <span>
              {Math.floor((progress?.share ?? 0) * 100)} %
              {progress !== null && progress.at !== null && (
                <>
                  of the history, up to what was recorded <Time at={progress.at} />
                </>
              )}
            </span>
            {cancel !== undefined && (
              <button type="button" onClick={() => void cancel().catch(fault)}>
                Cancel
              </button>
            )}
          </div>
        </>
      )}
      <div role="status">
        {state === 'cancelled' && <p>It was cancelled.</p>}
        {state === 'failed' && <p className="fault">It failed: {error}</p>}
        {report !== null && <Sentence report={report} />}
      </div>
      {report !== null && <ReportTables report={report} />}
    </div>
  );
}

const many = (count: number, one: string, more = `${one}s`): string =>
  `${count.toLocaleString()} ${count === 1 ? one : more}`;

/** The result in a sentence or two. */
function Sentence({ report: { candidates, sends, senders, comparison } }: { report: Report }) {
  const [after, before] = candidates;
  if (after === undefined) return null;
  const heading = `Of ${many(sends.messages, 'message')} by ${many(senders, 'sender')}`;
  const one = (candidate: Candidate): string =>
    `${many(candidate.blocks, 'block')} and ${many(candidate.proposals, 'proposal')}, ${many(candidate.refused.messages, 'message')} stopped`;
  if (before === undefined)
    return (
      <p>
        {heading}: {one(after)}.
      </p>
    );
  return (
    <p>
      {heading}: before, {one(before)}; after, {one(after)}.{' '}
      {comparison !== null && (
        <>
          The new rules stop {many(comparison.refused.onlyFirst.messages, 'message')} more, and let{' '}
          {many(comparison.refused.onlySecond.messages, 'message')} through that are stopped now.
        </>
      )}
    </p>
  );
}

function ReportTables({ report: { candidates } }: { report: Report }) {
  const [after, before] = candidates;
  if (after === undefined) return null;
  const facts = (candidate: Candidate): Readonly<Record<string, string>> => ({
    Blocks: candidate.blocks.toLocaleString(),
    Proposals: candidate.proposals.toLocaleString(),
    'Messages stopped': candidate.refused.messages.toLocaleString(),
    'Messages let through': candidate.accepted.messages.toLocaleString(),
    'Called right by people': candidate.right.toLocaleString(),
    'Called wrong by people': candidate.wrong.toLocaleString(),
    ...(candidate.score === null
      ? {}
      : {
          'Attacks contained': `${candidate.score.contained} of ${candidate.score.attacks}`,
          'Leaked of an attack (median)': `${candidate.score.leakedMedian}`,
          'Wrong blocks': `${candidate.score.wrongBlocks}`,
        }),
  });
  const [now, was] = [facts(after), before === undefined ? undefined : facts(before)];
  const rules = [...new Set([...after.byRule, ...(before?.byRule ?? [])].map(({ rule }) => rule))];
  const ofRule = (candidate: Candidate | undefined, rule: string): string => {
    const one = candidate?.byRule.find((each) => each.rule === rule);
    return one === undefined ? '–' : `${one.blocks + one.proposals}`;
  };
  const leftOut = after.casesLeftOut + (before?.casesLeftOut ?? 0);
  return (
    <>
      <Table
        label="Before and after"
        items={Object.keys(now)}
        keyOf={(name) => name}
        columns={[
          { title: 'What', cell: (name) => name },
          ...(was === undefined
            ? []
            : [{ title: 'Before', isNumber: true, cell: (name: string) => was[name] ?? '–' }]),
          {
            title: was === undefined ? 'With these rules' : 'After',
            isNumber: true,
            cell: (name) => now[name],
          },
        ]}
      />
      <details>
        <summary>Blocks and proposals by rule</summary>
        <Table
          label="By rule"
          items={rules}
          keyOf={(rule) => rule}
          columns={[
            { title: 'Rule', cell: (rule) => <span className="mono">{rule}</span> },
            ...(before === undefined
              ? []
              : [{ title: 'Before', isNumber: true, cell: (rule: string) => ofRule(before, rule) }]),
            { title: 'After', isNumber: true, cell: (rule) => ofRule(after, rule) },
          ]}
        />
      </details>
      {before === undefined ? (
        <>
          <Cases label="Whom it would have stopped" cases={blocksOf(after)} />
          <Cases label="Whom it would only have proposed to stop" cases={proposalsOf(after)} />
        </>
      ) : (
        <>
          <Cases label="Only the new rules stop" cases={blocksOf(after).filter(isOfOneSide)} />
          <Cases label="Only the rules of before stop" cases={blocksOf(before).filter(isOfOneSide)} />
          <Cases label="The new rules only propose to stop" cases={proposalsOf(after)} />
          <Cases label="The rules of before only propose to stop" cases={proposalsOf(before)} />
        </>
      )}
      {leftOut > 0 && <p className="quiet">The lists leave out {many(leftOut, 'case')}.</p>}
    </>
  );
}

const blocksOf = ({ cases }: Candidate): Candidate['cases'] =>
  cases.filter(({ action }) => action === 'block');
/** A proposal stops nothing: nobody compares it with what the other rules stop. */
const proposalsOf = ({ cases }: Candidate): Candidate['cases'] =>
  cases.filter(({ action }) => action === 'propose');
const isOfOneSide = ({ shared }: Candidate['cases'][number]): boolean => shared === false;

function Cases({ label, cases }: { label: string; cases: Candidate['cases'] }) {
  if (cases.length === 0) return null;
  return (
    <details>
      <summary>
        {label}: {many(cases.length, 'case')}
      </summary>
      <Table
        label={label}
        items={cases.slice(0, SHOWN).map((one, index) => ({ ...one, key: `${index}` }))}
        keyOf={({ key }) => key}
        columns={[
          { title: 'Sender', cell: ({ subject }) => <SubjectLink subject={subject} /> },
          { title: 'Rule', cell: ({ rule }) => <span className="mono">{rule}</span> },
          { title: 'When', cell: ({ blockedAt, proposedAt }) => <Time at={blockedAt ?? proposedAt} /> },
          { title: 'Why', cell: ({ evidence }) => evidence.sentence },
          { title: 'Called', cell: ({ judged }) => judged ?? '–' },
        ]}
      />
      {cases.length > SHOWN && <p className="quiet">The first {SHOWN} are shown.</p>}
    </details>
  );
}
