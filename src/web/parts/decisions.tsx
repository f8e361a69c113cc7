import { useQuery, useQueryClient } from '@tanstack/react-query';
import type { QueryClient, UseQueryResult } from '@tanstack/react-query';
import type { AnswerOf, Block, Subject } from '../api.js';
import { answered, api, made } from '../api.js';
import { useRights } from '../who.js';
import { subjectName, SUBJECT_OPTIONS } from './blocks.js';
import { plural } from './counted.js';
import { Dialog } from './dialog.js';
import { Check, Choice, Field, FieldFault, Form, SpanField, spanBody, TextField } from './forms.js';
import type { Values } from './forms.js';
import { note } from './notes.js';
import { checkOf, isAskable, isRefusedBy } from './other-block.js';

type Held = 'release' | 'delete' | 'keep';

/** What was decided shows in every list at once; the event that tells of it may come a moment later. */
export function refresh(client: QueryClient): void {
  for (const key of ['blocks', 'block', 'proposals', 'overview', 'sender', 'changes'])
    void client.invalidateQueries({ queryKey: [key] });
}

const path = (block: Block) => ({ params: { path: { id: block.id } } });
const noteOf = ({ note: text = '' }: Values): { note?: string } =>
  text.trim() === '' ? {} : { note: text.trim() };

/** Another block may refuse who is released: of its domain, of where it came from last, or a wider one. */
async function tellRefused({ subject, direction }: Block): Promise<void> {
  if (!isAskable(subject)) return;
  const query = {
    ...checkOf(subject),
    direction: direction === 'inbound' ? direction : ('outbound' as const),
  };
  // It is released all the same.
  const check = await answered(api.GET('/api/v1/check', { params: { query } })).catch(() => undefined);
  if (check?.refused === true && isRefusedBy(subject, check.block))
    note(`${subjectName(subject)} is still refused. ${check.sentence}`, { isFault: true, shown: 30_000 });
}

/** What remains of a release that is taken back. */
function leftOf({ falsePositive, held }: Values): string {
  const wasWrong = falsePositive === 'true';
  // Nothing is asked where no mail is held.
  const isDecided = held === 'release' || held === 'delete' || (held === '' && wasWrong);
  return [
    wasWrong
      ? ' What was sent stays usual, and its limits are higher: if the rule was right, set limits of its own.'
      : '',
    isDecided ? ' Mail that was held does not come back.' : '',
  ].join('');
}

/** What a person can decide on a block or a proposal. Each throws what the server refuses. */
export function useDecisions() {
  const client = useQueryClient();

  const release = async (block: Block, values: Values): Promise<void> => {
    await letGo(block, values);
    note(`Released ${subjectName(block.subject)}.`, {
      undo: () => again(block, values),
    });
    void tellRefused(block);
  };

  /** Releases what was just blocked. */
  const undo = async (block: Block): Promise<void> => {
    await letGo(block, { note: 'undone' });
    const left = block.proposedAt === null ? '' : ' The proposal does not come back.';
    note(`Released ${subjectName(block.subject)}.${left}`);
    void tellRefused(block);
  };

  const letGo = async (block: Block, values: Values): Promise<void> => {
    const body = {
      ...noteOf(values),
      ...(values['falsePositive'] === 'true' ? { falsePositive: true } : {}),
      ...(values['held'] === undefined || values['held'] === '' ? {} : { held: values['held'] as Held }),
    };
    await answered(api.POST('/api/v1/blocks/{id}/release', { ...path(block), body }));
    refresh(client);
  };

  /** Blocks anew, for the rest of the time: what a release takes back. What cannot be taken back it says. */
  const again = async (
    { subject, direction, description, refusal, until, indefinite }: Block,
    released: Values,
  ): Promise<void> => {
    const span = indefinite || until === null ? { indefinite: true as const } : { until };
    const body = { subject, direction, description, refusal, ...span };
    await answered(api.POST('/api/v1/blocks', { body }));
    refresh(client);
    const left = leftOf(released);
    note(
      `Blocked ${subjectName(subject)} again.${left}`,
      left === '' ? {} : { isFault: true, shown: 30_000 },
    );
  };

  const approve = async (block: Block, values: Values): Promise<void> => {
    const body = { ...noteOf(values), ...spanBody(values) };
    const approved = await answered(api.POST('/api/v1/blocks/{id}/approve', { ...path(block), body }));
    refresh(client);
    note(`Blocked ${subjectName(block.subject)}.`, { undo: () => undo(approved) });
  };

  const dismiss = async (block: Block, values: Values): Promise<void> => {
    const body = {
      ...noteOf(values),
      ...(values['falsePositive'] === 'true' ? { falsePositive: true } : {}),
    };
    await answered(api.POST('/api/v1/blocks/{id}/dismiss', { ...path(block), body }));
    refresh(client);
    note(`Dismissed the proposal for ${subjectName(block.subject)}.`);
  };

  const edit = async (block: Block, values: Values): Promise<void> => {
    await answered(
      api.PATCH('/api/v1/blocks/{id}', { ...path(block), body: { ...noteOf(values), ...spanBody(values) } }),
    );
    refresh(client);
    note(`Changed the end of the block of ${subjectName(block.subject)}.`);
  };

  const impose = async (values: Values): Promise<Block> => {
    const { type, value = '', direction, description = '', refusal = '' } = values;
    const body = {
      subject: { type: type as Subject['type'], value },
      direction: direction as Block['direction'],
      // A block in force keeps what nobody has said anew.
      ...(refusal === '' ? {} : { refusal: refusal as Block['refusal'] }),
      ...(description.trim() === '' ? {} : { description }),
      ...spanBody(values),
    };
    const { data: block, isNew } = await made(api.POST('/api/v1/blocks', { body }));
    refresh(client);
    const name = subjectName(block.subject);
    // A release would end what somebody else has set.
    if (isNew) note(`Blocked ${name}.`, { undo: () => undo(block) });
    else note(`A block of ${name} was in force already: it has all that you asked for now.`);
    return block;
  };

  return { release, approve, dismiss, edit, impose };
}

interface DecisionDialog {
  readonly block: Block;
  readonly close: () => void;
}

type HeldMail = AnswerOf<'/api/v1/blocks/{id}/held'>;

/** What becomes of held mail where nothing is said. @param held undefined where it is not known */
function unlessSaid(held: HeldMail | undefined, mayBeWrong: boolean): string {
  if (held === undefined) return 'As was decided; else keep it';
  const { decided } = held;
  const asDecided =
    decided === null || decided.failed
      ? undefined
      : { release: 'deliver it', delete: 'delete it' }[decided.action];
  if (!mayBeWrong) return asDecided === undefined ? 'Keep it for now' : `As was decided: ${asDecided}`;
  return asDecided === undefined
    ? 'Deliver it if the rule was wrong, else keep it'
    : `Deliver it if the rule was wrong, else as was decided: ${asDecided}`;
}

/**
 * A rule that was wrong has held mail delivered, also where its deletion was decided: nobody asks for that unseen.
 *
 * @throws FieldFault where mail is held of which nothing was said
 */
async function seen(asked: UseQueryResult<HeldMail>, wasWrong: boolean): Promise<void> {
  const now = asked.isPending ? await asked.refetch({ cancelRefetch: false }) : asked;
  if (now.isSuccess && now.data.count > 0) {
    const messages =
      now.data.count === 1 ? '1 message is' : `${now.data.count.toLocaleString()} messages are`;
    const them = now.data.count === 1 ? 'it' : 'them';
    throw new FieldFault([{ field: 'held', message: `${messages} held: say what becomes of ${them}.` }]);
  }
  if (now.isError && (asked.isPending || wasWrong))
    throw new FieldFault([
      {
        field: 'held',
        message: `Say what becomes of it${asked.isPending ? '' : ' where the rule was wrong'}.`,
      },
    ]);
}

export function ReleaseDialog({ block, close }: DecisionDialog) {
  const { release } = useDecisions();
  const { operates } = useRights();
  // A hook holds what a blocked account has in the queue, however the block refuses.
  const asked = useQuery({
    queryKey: ['block', block.id, 'held'],
    queryFn: () =>
      answered(
        api.GET('/api/v1/blocks/{id}/held', {
          params: { path: { id: block.id }, query: { limit: '1' } },
        }),
      ),
    // What was decided when the dialog was open before may be old.
    gcTime: 0,
  });
  const held = asked.isSuccess ? asked.data : undefined;
  const { count: waiting = 0, decided, others = false } = held ?? {};
  const mayBeWrong = operates && block.rule !== null;
  const send = async (values: Values): Promise<void> => {
    if ((values['held'] ?? '') === '' && held === undefined)
      await seen(asked, values['falsePositive'] === 'true');
    await release(block, values);
    close();
  };
  return (
    <Dialog title={`Release ${subjectName(block.subject)}`} close={close}>
      <Form send={send} action="Release" cancel={close}>
        {(fault) => (
          <>
            {asked.isPending && <p className="quiet loading">Asking what mail is held…</p>}
            {mayBeWrong && (
              <Check
                label="The rule was wrong: what was sent is usual from now on"
                name="falsePositive"
                fault={fault('falsePositive')}
              />
            )}
            {(block.refusal === 'hold' || waiting > 0 || asked.isError) && (
              <Choice
                label={
                  waiting > 0 ? `Mail that is held (${plural(waiting, 'message')})` : 'Mail that is held'
                }
                name="held"
                fault={fault('held')}
                hint={
                  asked.isError ? `Stopgap cannot say what mail is held: ${asked.error.message}` : undefined
                }
                options={[
                  ['', unlessSaid(held, mayBeWrong)],
                  // The server refuses these where some of it is mail of others.
                  ...(others
                    ? []
                    : ([
                        ...(mayBeWrong || held === undefined || decided !== null
                          ? [['keep', 'Keep it'] as const]
                          : []),
                        ['release', 'Deliver it'],
                        ['delete', 'Delete it'],
                      ] as const)),
                ]}
              />
            )}
            <TextField label="Note (for your colleagues)" name="note" fault={fault('note')} />
          </>
        )}
      </Form>
    </Dialog>
  );
}

export function ApproveDialog({ block, close }: DecisionDialog) {
  const { approve } = useDecisions();
  return (
    <Dialog title={`Block ${subjectName(block.subject)}`} close={close}>
      <Form send={(values) => approve(block, values).then(close)} action="Approve" cancel={close}>
        {(fault) => (
          <>
            <SpanField
              fault={fault}
              first={['', `As the rule says: ${block.duration ?? 'until released'}`]}
            />
            <TextField label="Note (for your colleagues)" name="note" fault={fault('note')} />
          </>
        )}
      </Form>
    </Dialog>
  );
}

export function DismissDialog({ block, close }: DecisionDialog) {
  const { dismiss } = useDecisions();
  const { operates } = useRights();
  return (
    <Dialog title={`Dismiss the proposal for ${subjectName(block.subject)}`} close={close}>
      <Form send={(values) => dismiss(block, values).then(close)} action="Dismiss" cancel={close}>
        {(fault) => (
          <>
            {operates && (
              <Check
                label="The rule was wrong: what was sent is usual from now on"
                name="falsePositive"
                fault={fault('falsePositive')}
              />
            )}
            <TextField label="Note (for your colleagues)" name="note" fault={fault('note')} />
          </>
        )}
      </Form>
    </Dialog>
  );
}

export function EditDialog({ block, close }: DecisionDialog) {
  const { edit } = useDecisions();
  return (
    <Dialog title={`Change the end of the block of ${subjectName(block.subject)}`} close={close}>
      <Form send={(values) => edit(block, values).then(close)} action="Change" cancel={close}>
        {(fault) => (
          <>
            <SpanField fault={fault} label="From now on for" />
            <TextField label="Note (for your colleagues)" name="note" fault={fault('note')} />
          </>
        )}
      </Form>
    </Dialog>
  );
}

/** @param subject what is filled in before */
export function ImposeDialog({ subject, close }: { subject?: Subject | undefined; close: () => void }) {
  const { impose } = useDecisions();
  return (
    <Dialog title="Block a sender" close={close}>
      <Form send={(values) => impose(values).then(close)} action="Block" danger cancel={close}>
        {(fault) => (
          <>
            <Choice
              label="What to block"
              name="type"
              fault={fault('subject.type')}
              defaultValue={subject?.type ?? 'account'}
              options={SUBJECT_OPTIONS}
            />
            <Field
              label="Its name"
              name="value"
              fault={fault('subject.value')}
              defaultValue={subject?.value}
              hint="As bob@example.com, example.com, mail.example.com or 192.0.2.0/24. An address is matched on the return path."
              autoComplete="off"
              spellCheck={false}
            />
            <Choice
              label="Mail"
              name="direction"
              fault={fault('direction')}
              options={[
                ['outbound', 'that it sends through this server'],
                ['inbound', 'that arrives from it'],
                ['all', 'in both directions'],
              ]}
            />
            <Choice
              label="What the client is told"
              name="refusal"
              fault={fault('refusal')}
              options={[
                ['', 'What a block in force says; else that the password is wrong'],
                ['soft', 'That the password is wrong (soft)'],
                ['defer', 'To try again later (defer)'],
                ['honest', 'That it is blocked, and whom to ask (honest)'],
                ['hold', 'Nothing: its mail is held where it can be (hold)'],
              ]}
            />
            <SpanField fault={fault} />
            <Field label="Why" name="description" fault={fault('description')} />
          </>
        )}
      </Form>
    </Dialog>
  );
}
