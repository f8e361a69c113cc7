import { useState } from 'react';
import type { AnswerOf, Subject } from '../api.js';
import { answered, api } from '../api.js';
import { Choice, Field, Form } from '../parts/forms.js';
import type { Values } from '../parts/forms.js';
import { FIELD_OF, presetOf } from '../parts/other-block.js';
import { blockPath, useAt, useHref } from '../route.js';
import { Table } from '../parts/table.js';
import { InOwnZone, Time } from '../time.js';

interface Found {
  readonly check: AnswerOf<'/api/v1/check'>;
  /** It was asked of an instant, and not of now. */
  readonly isPast: boolean;
}

/** One character more than it takes: then it says so, and nobody cuts off the end in silence, where a code often is. */
const TOO_LONG = 4001;

/** For the help desk: what a user was told, and why. */
export function CheckPanel({ subject }: { subject: Subject }) {
  const at = useAt();
  const [found, setFound] = useState<Found>();
  const { type, value } = subject;
  const send = async ({
    said = '',
    when = '',
    account = '',
    ip = '',
    returnPath = '',
    ehlo = '',
    direction = 'outbound',
  }: Values) => {
    const instant = when === '' ? at : isoOf(when);
    const given = { account, ip, returnPath, ehlo, direction, at: instant, said: said.slice(0, TOO_LONG) };
    const query = Object.fromEntries(
      Object.entries(given).filter(([, text]) => text !== undefined && text.trim() !== ''),
    );
    setFound(undefined);
    const check = await answered(api.GET('/api/v1/check', { params: { query } }));
    setFound({ check, isPast: instant !== undefined });
  };
  const own = (name: string): string | undefined => (name === FIELD_OF[type] ? presetOf(subject) : undefined);
  return (
    <section className="panel">
      <h2>What did they see?</h2>
      <p className="quiet">Somebody cannot send? Say what you know: the true reason comes back.</p>
      <Form send={send} action="Check">
        {(fault) => (
          <>
            <Field
              label="What their program said"
              name="said"
              fault={fault('said')}
              placeholder="535 5.7.8 Authentication failed"
              autoComplete="off"
            />
            <div className="limits">
              <Field
                label="When (empty: now)"
                name="when"
                type="datetime-local"
                step="1"
                fault={fault('at') ?? fault('when')}
              />
              <Choice
                label="Mail"
                name="direction"
                options={[
                  ['outbound', 'that it sends through this server'],
                  ['inbound', 'that arrives from it'],
                ]}
              />
              <Field
                label="Account"
                name="account"
                defaultValue={own('account')}
                fault={fault('account')}
                autoComplete="off"
                hint={type === 'domain' ? `Any address of ${value} will do.` : undefined}
              />
              <Field
                label="IP address"
                name="ip"
                defaultValue={own('ip')}
                fault={fault('ip')}
                autoComplete="off"
              />
              <Field
                label="Return path"
                name="returnPath"
                defaultValue={own('returnPath')}
                fault={fault('returnPath')}
                autoComplete="off"
              />
              <Field
                label="EHLO name"
                name="ehlo"
                defaultValue={own('ehlo')}
                fault={fault('ehlo')}
                autoComplete="off"
              />
            </div>
          </>
        )}
      </Form>
      <div role="status">{found !== undefined && <Answer {...found} />}</div>
    </section>
  );
}

/** What is no time goes to the server as it is: it says what is wrong. */
function isoOf(when: string): string {
  const at = new Date(when);
  return Number.isNaN(at.getTime()) ? when : at.toISOString();
}

const STAGES = [
  ['auth', 'At the login'],
  ['mail', 'At the return path (MAIL FROM)'],
  ['rcpt', 'At a recipient (RCPT TO)'],
] as const;
const OUTCOMES = { refused: 'refused', held: 'taken and held', passes: 'passes', 'not asked': 'not asked' };
const PAST_OUTCOMES = { ...OUTCOMES, passes: 'passed' };

function Answer({ check, isPast }: Found) {
  const verb = isPast ? 'was' : 'is';
  const href = useHref();
  const saidBy = check.said?.block ?? null;
  return (
    <>
      <h3>{`It ${verb} ${check.refused ? '' : 'not '}refused`}</h3>
      <p>
        <InOwnZone text={check.sentence} />
      </p>
      {check.block !== null && (
        <p>
          <a href={`#${href(blockPath(check.block.id))}`}>
            Open the block that {isPast ? 'refused' : 'refuses'}
          </a>
        </p>
      )}
      {saidBy !== null && saidBy !== check.block?.id && (
        <p>
          <a href={`#${href(blockPath(saidBy))}`}>Open the block that the answer names first</a>
        </p>
      )}
      <Table
        label={`What each stage ${verb} told`}
        items={STAGES}
        keyOf={([stage]) => stage}
        columns={[
          { title: 'Stage', cell: ([, name]) => name },
          { title: 'Outcome', cell: ([stage]) => (isPast ? PAST_OUTCOMES : OUTCOMES)[check[stage].outcome] },
          {
            title: `What the client ${verb} told`,
            cell: ([stage]) => <span className="mono">{check[stage].reply ?? '–'}</span>,
          },
        ]}
      />
      {check.refusals !== null && check.refusals.length > 0 && (
        <>
          <h3 className="spaced">The last refusals of this account</h3>
          <ul className="plain">
            {check.refusals.map(({ at, reply, ip, count }, index) => (
              <li key={index}>
                <Time at={at} as="second" /> {ip !== null && `from ${ip}`}{' '}
                <span className="mono">{reply}</span>
                {count > 1 && <span className="quiet"> {count.toLocaleString()} times</span>}
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}
