import { useQuery as useServerQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { actorName } from '../../kernel/actor.js';
import type { Schemas } from '../api.js';
import { answered, api, ApiError } from '../api.js';
import { CodeEditor } from '../parts/code-editor.js';
import { Dialog } from '../parts/dialog.js';
import { Diff } from '../parts/diff.js';
import { Form } from '../parts/forms.js';
import { note } from '../parts/notes.js';
import { Failure } from '../parts/states.js';
import { Time } from '../time.js';
import { RULES_DRAFT, useRights } from '../who.js';
import { BacktestPart } from './rules-backtest.js';

type Rules = Schemas['Rules'];

/** How long nothing is typed before the server checks it. */
const PAUSE = 400;

export function useRefreshRules(): () => void {
  const client = useQueryClient();
  return () => {
    for (const key of ['rules', 'shadow', 'changes', 'exemptions', 'overview'])
      void client.invalidateQueries({ queryKey: [key] });
  };
}

/** The source of the rules: changed, checked while one types, tried, and put in force. */
export function RulesEditor({ rules, isNow }: { rules: Rules; isNow: boolean }) {
  const { administers, operates } = useRights();
  const { draft, base, type, begin } = useDraft(rules);
  const [dialog, setDialog] = useState<'force' | 'shadow'>();
  const isChanged = draft !== base.source;
  useEffect(() => {
    if (!isChanged && base.version !== rules.version) begin(rules);
  });
  const paused = usePaused(draft);
  const check = useServerQuery({
    queryKey: ['rules-check', paused],
    queryFn: ({ signal }) =>
      answered(api.POST('/api/v1/rules/validate', { body: { source: paused }, signal })),
    gcTime: 0,
    placeholderData: (before) => before,
  });
  const isChecked = paused === draft && check.isSuccess && !check.isPlaceholderData;
  const isValid = isChecked && check.data.valid;
  const close = (): void => setDialog(undefined);
  return (
    <>
      <CodeEditor
        label={administers ? 'The rules, as YAML' : 'The rules in force, to try changes on'}
        value={draft}
        change={isNow && operates ? type : undefined}
        faults={check.data?.faults ?? []}
      />
      <div className="line">
        <span role="status">
          {!isChecked ? (
            check.isError ? (
              ''
            ) : (
              'Checking…'
            )
          ) : isValid ? (
            <span className="tag tag-good">
              {isChanged ? 'changed and valid' : `version ${rules.version}, in force`}
            </span>
          ) : (
            <span className="tag tag-bad">
              {check.data.faults.length} {check.data.faults.length === 1 ? 'fault' : 'faults'}
            </span>
          )}
        </span>
        <span className="grow" />
        {isChanged && (
          <button type="button" onClick={() => type(base.source)}>
            Discard the changes
          </button>
        )}
        {administers && isNow && (
          <>
            <button type="button" disabled={!isValid || !isChanged} onClick={() => setDialog('shadow')}>
              Run in the shadow
            </button>
            <button
              type="button"
              className="primary"
              disabled={!isValid || !isChanged}
              onClick={() => setDialog('force')}
            >
              Put in force
            </button>
          </>
        )}
      </div>
      {isChanged && base.version !== rules.version && (
        <p>
          <span className="tag tag-warn">Note</span> Version {rules.version} is in force since you began with
          version {base.version}.
        </p>
      )}
      {check.isError && <Failure error={check.error} retry={() => void check.refetch()} />}
      {isChecked &&
        check.data.warnings.map((warning) => (
          <p key={warning}>
            <span className="tag tag-warn">Warning</span> {warning}
          </p>
        ))}
      <BacktestPart draft={isChanged ? draft : undefined} isValid={isValid} isNow={isNow} />
      {dialog === 'force' && (
        <ForceDialog
          draft={draft}
          base={base}
          close={close}
          taken={begin}
          theirs={(theirs) => {
            begin(theirs);
            close();
          }}
        />
      )}
      {dialog === 'shadow' && <ShadowDialog draft={draft} close={close} />}
    </>
  );
}

interface Base {
  readonly version: number;
  readonly source: string;
}

interface Other extends Base {
  readonly by: string | undefined;
  readonly at: string | undefined;
}

/** Puts rules in force. If somebody else was faster it says who, and shows both. */
function ForceDialog({
  draft,
  base,
  taken,
  theirs,
  close,
}: {
  draft: string;
  base: Base;
  taken: (base: Base) => void;
  theirs: (base: Base) => void;
  close: () => void;
}) {
  const refresh = useRefreshRules();
  const [other, setOther] = useState<Other>();
  const put = (source: string, version: number) =>
    answered(
      api.PUT('/api/v1/rules', {
        params: { header: { 'If-Match': `"${version}"` } },
        body: { source },
      }),
    );
  const send = async (): Promise<void> => {
    const before = other ?? base;
    try {
      const { version } = await put(draft, before.version);
      taken({ version, source: draft });
      refresh();
      const undo = async (): Promise<void> => {
        await put(before.source, version);
        refresh();
        note('The rules of before are in force again.');
      };
      note(`Version ${version} of the rules is in force.`, { undo: () => undo() });
      close();
    } catch (thrown) {
      if (!(thrown instanceof ApiError) || thrown.status !== 412) throw thrown;
      setOther(await readOther());
    }
  };
  return (
    <Dialog title={other === undefined ? 'Put these rules in force?' : 'Others were faster'} close={close}>
      {other === undefined ? (
        <p>Every process follows them from now on. Blocks that are in force stay.</p>
      ) : (
        <p role="alert">
          {other.by === undefined ? 'Somebody' : actorName(other.by)} has put version {other.version} in force
          {other.at !== undefined && (
            <>
              {' '}
              <Time at={other.at} as="ago" />
            </>
          )}
          . This is what yours would change in it:
        </p>
      )}
      <Diff label="What changes" before={(other ?? base).source} after={draft} />
      <Form
        action={other === undefined ? 'Put in force' : 'Put mine in force all the same'}
        danger
        send={send}
        cancel={close}
      >
        {() => null}
      </Form>
      {other !== undefined && (
        <button type="button" onClick={() => theirs(other)}>
          Go on with theirs, discard mine
        </button>
      )}
    </Dialog>
  );
}

async function readOther(): Promise<Other> {
  const { version, source } = await answered(api.GET('/api/v1/rules'));
  const changes = await answered(
    api.GET('/api/v1/changes', {
      params: { query: { type: 'RulesChanged,ShadowRulesPromoted', limit: '1' } },
    }),
  ).catch(() => undefined);
  const last = changes?.items[0];
  return { version, source, by: last?.by, at: last?.at };
}

function ShadowDialog({ draft, close }: { draft: string; close: () => void }) {
  const refresh = useRefreshRules();
  return (
    <Dialog title="Run these rules in the shadow?" close={close}>
      <p>
        They count along and do nothing. What they would have done is compared with the rules in force. A
        shadow that runs already is replaced, and its comparison is gone.
      </p>
      <Form
        action="Run in the shadow"
        cancel={close}
        send={async () => {
          await answered(api.PUT('/api/v1/rules/shadow', { body: { source: draft } }));
          refresh();
          note('The rules run in the shadow.');
          close();
        }}
      >
        {() => null}
      </Form>
    </Dialog>
  );
}

/** A value once it has not changed for a while. */
function usePaused(value: string): string {
  const [paused, setPaused] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setPaused(value), PAUSE);
    return () => clearTimeout(timer);
  }, [value]);
  return paused;
}

/**
 * A draft that is kept while other screens are seen, until the tab is closed.
 * With it is what it began with: others may put rules in force meanwhile, and theirs must not be undone unseen.
 */
function useDraft(inForce: Base): {
  draft: string;
  base: Base;
  type: (draft: string) => void;
  begin: (base: Base) => void;
} {
  const [{ draft, base }, setKept] = useState(() => readDraft() ?? begun(inForce));
  const keep = (next: Draft): void => {
    setKept(next);
    if (next.draft === next.base.source) sessionStorage.removeItem(RULES_DRAFT);
    else sessionStorage.setItem(RULES_DRAFT, JSON.stringify(next));
  };
  return {
    draft,
    base,
    type: (typed) => keep({ draft: typed, base }),
    begin: (from) => keep(begun(from)),
  };
}

interface Draft {
  readonly draft: string;
  readonly base: Base;
}

const begun = ({ version, source }: Base): Draft => ({ draft: source, base: { version, source } });

/** What another version of the page has kept in this tab may look otherwise: it is left. */
function readDraft(): Draft | undefined {
  const kept = sessionStorage.getItem(RULES_DRAFT);
  try {
    const { draft, base } = JSON.parse(kept ?? '{}') as Partial<Draft>;
    return typeof draft === 'string' && typeof base?.version === 'number' && typeof base.source === 'string'
      ? { draft, base }
      : undefined;
  } catch {
    return undefined;
  }
}
