import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { adminNames, Rewriter } from '../forgetting/person.js';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import { LONGEST_NAME } from '../kernel/printable.js';
import { namesBefore } from '../kernel/pseudonym.js';
import type { SourcedRules } from '../rules/model.js';
import { domainOf, normalizeAccount, normalizeAddress } from '../sending/identity.js';
import type { Subject } from '../sending/subjects.js';
import { askedSubject } from '../sending/subjects.js';
import type { ApiDependencies } from './dependencies.js';
import { refuseHeld } from './forget-held.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { alsoForget } from './login-names.js';
import { checkedSubject, oneOf, position } from './shapes.js';

/** Whom a person can be: others are no persons. */
const PERSONS = ['account', 'address'] as const;

const forgetInput = z.strictObject({
  subject: z
    .strictObject({
      type: oneOf(PERSONS).meta({ description: 'Where the name is both, both are forgotten.' }),
      value: z.string('must be an account or an address').max(LONGEST_NAME),
    })
    .transform(({ type, value }, context) => checkedSubject(() => personOf(type, value), context)),
});
/** @throws InvalidInput */
function personOf(type: string, value: string): Subject {
  const subject = askedSubject(type, value);
  const isWhole = type === 'account' || domainOf(subject.value) !== undefined;
  if (!isWhole || subject.value.startsWith('@'))
    throw new InvalidInput(
      'subject.value',
      'is no address: use local@domain, or the type account for a login',
    );
  if (!subject.value.includes('*')) return subject;
  throw new InvalidInput('subject.value', 'names several: one person at a time, without wildcards');
}

type ForgetInput = z.infer<typeof forgetInput>;

const forgottenShape = z
  .object({
    pseudonym: z
      .string()
      .nullable()
      .meta({
        description:
          'What the histories of their blocks are kept under; null if nothing was known of the name: nothing was written.',
        examples: ['forgotten-1a2b3c4d@invalid'],
      }),
    erased: z.int().meta({ description: 'Events that went.' }),
    rewritten: z.int().meta({ description: 'Events that stay, without the name.' }),
    position: position.nullable(),
    remains: z.array(z.string()).meta({
      description: 'What is still to be done, or cannot be: sentences for a person.',
    }),
  })
  .meta({ id: 'Forgotten' });
export type ForgottenJson = z.infer<typeof forgottenShape>;

/** Takes a person out of what is stored. */
export function forgetRoute(deps: ApiDependencies): Route {
  return route<unknown, ForgetInput>({
    method: 'post',
    path: '/api/v1/forget',
    summary: 'Forget a person: erase what concerns an account or address, and keep blocks under a pseudonym',
    role: 'admin',
    scope: 'none',
    body: { schema: forgetInput },
    responses: { 200: { description: 'They are forgotten', schema: forgottenShape } },
    async handle({ body, caller, requestId }) {
      const { subject } = body;
      const file = await fileNaming(deps, subject.value);
      // Once they are forgotten the other name is too.
      const also = alsoForget(deps, subject.value);
      const named = namedElsewhere(deps, subject.value, file !== undefined);
      const context = { by: `admin:${caller.name}`, correlation: `request:${requestId}` };
      let byHand: readonly string[] = [];
      const forgotten = await deps.forgetting.execute(subject, context, async (name) => {
        refuseAdmin(deps, name, caller.name);
        byHand = [...byHand, ...(await refuseHeld(deps, name))];
      });
      const ofFile = file === undefined ? [] : [await adviceOn(deps, file, subject.value)];
      const isWord =
        forgotten.erased === 0 && forgotten.rewritten > 0 && domainOf(subject.value) === undefined;
      const names = [...(isWord ? [ONLY_A_WORD] : []), ...also];
      const remains = [...names, ...forgotten.remains, ...byHand, ...ofFile, ...named, OUTSIDE];
      return ok({ ...forgotten, remains } satisfies ForgottenJson);
    },
  });
}

/**
 * What was recorded of somebody who signs in here goes: the codes that are used up would work again.
 *
 * @throws StopgapError `conflict`
 */
function refuseAdmin({ admins }: ApiDependencies, name: string, caller: string): void {
  const names = adminNames(name);
  const admin = names.find((one) => admins?.().has(one) === true);
  if (admin !== undefined)
    throw new StopgapError(
      'conflict',
      `${admin} may sign in here: remove them first (stopgap admin remove ${admin}, or People on the page)`,
    );
  if (names.includes(caller))
    throw new StopgapError(
      'conflict',
      `${caller} is who asks, and would be recorded again: another admin has to ask`,
    );
}

const ONLY_A_WORD =
  'No mail and no limit of a login of this name was stored: only blocks, exemptions and words in sentences were changed.';
const OUTSIDE =
  'Backups, the log and the journal, and what mail servers keep are not reached from here: see docs/run/privacy.md.';

/** The rules file, if it names them. */
async function fileNaming(
  { rulesFile, rulesCommands }: ApiDependencies,
  value: string,
): Promise<SourcedRules | undefined> {
  // Where another process reads the file, what is recorded of it has to do.
  const file = rulesFile?.() ?? (await rulesCommands.lastFile());
  return file !== undefined && isNamedIn(file, value) ? file : undefined;
}

/** What is to be done about a rules file that named them, once they are forgotten: any edit but one puts it in force. */
async function adviceOn(
  { rulesCommands }: ApiDependencies,
  { source }: SourcedRules,
  name: string,
): Promise<string> {
  const [inForce, recorded] = [await rulesCommands.current(), await rulesCommands.lastFile()];
  // The record has them under the pseudonym, unless the store cannot change events.
  const inRecord = recorded === undefined ? undefined : namesBefore(source, recorded.source);
  const isTheirs = (one: string): boolean => [normalizeAccount(one), normalizeAddress(one)].includes(name);
  const pseudonym = inRecord?.find((one) => isTheirs(one.name))?.pseudonym;
  const where = domainOf(name) === undefined ? ' in subjects' : '';
  const edit = pseudonym === undefined ? 'take that out' : `put ${pseudonym} in place of the name${where}`;
  const advice = `The rules file names them: ${edit}, or it is recorded again when the file next comes into force.`;
  if (inForce?.origin === 'file') return advice;
  const other = pseudonym === undefined ? 'Any' : 'Any other';
  return `${advice} ${other} edit puts the file in force, in place of the rules in force, which are not the file's.`;
}

/** Where else the name is that would come back by itself. */
function namedElsewhere(
  { accountState, models, clock }: ApiDependencies,
  value: string,
  isInFile: boolean,
): readonly string[] {
  const subjects = PERSONS.map((type) => ({ type, value }));
  const state = accountState?.(value);
  return [
    ...(state === undefined || state === 'unknown'
      ? []
      : ['The account is in the users file: what it sends from now on is recorded again.']),
    ...(!isInFile && isNamedIn({ rules: models.sendVolume.rules }, value)
      ? ['The rules in force named them in an exemption: it is kept under the pseudonym.']
      : []),
    ...(models.overrides.on({ type: 'account', value })?.file !== undefined
      ? ['The file of overrides names them: take the entry out, or the next start sets it again.']
      : []),
    ...(subjects.some((subject) => models.exemptions.covering(subject, clock.now()) !== undefined)
      ? ['An exemption covered them: what it was granted for is kept under the pseudonym.']
      : []),
  ];
}

/** Whether rules name somebody: an address anywhere in their text, a login that is a word like any other in a subject. */
function isNamedIn({ rules, source }: Partial<SourcedRules>, value: string): boolean {
  // As a text like any other: to parse up to a mebibyte of YAML would hold up everything else.
  const said = domainOf(value) === undefined ? { rules } : { rules, text: source };
  return !isDeepStrictEqual(new Rewriter({ name: value, pseudonym: '' }).value(said), said);
}
