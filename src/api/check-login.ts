import { z } from 'zod';
import { formatInstant } from '../kernel/time.js';
import type { FailedLogins } from '../accounts/users.js';
import type { MailDirection, SenderIdentity } from '../sending/subjects.js';
import { NOT_YOUR_ADDRESS, replyLine } from '../smtp/replies.js';
import type { AccountState, ApiDependencies } from './dependencies.js';

export const failedLoginsShape = z
  .object({
    failed: z.int().meta({ description: 'With a wrong password.' }),
    putOff: z
      .int()
      .meta({ description: 'With 454, untried: too many logins from their network had failed.' }),
    since: z.string().meta({ description: 'When the first of them was.' }),
    at: z.string().meta({ description: 'When the last one was.' }),
    network: z.string().meta({ description: 'The client network that the last one came from.' }),
  })
  .nullable()
  .meta({
    description:
      'Logins of this account that failed for no block, until an hour passes without one; null where there are none, of a past instant, of an account that does not exist, and from a process without the role smtp.',
  });

/** What stops an account now that is no block. */
export interface AccountTrouble {
  readonly state: AccountState | undefined;
  /** Why it cannot log in, in a sentence. */
  readonly hasNoLogin: string | undefined;
  /** Where nothing is known of logins and return paths, in a sentence. */
  readonly unsure: string | undefined;
  readonly failed: FailedLogins | undefined;
  /** MAIL FROM: undefined where no account and return path are named, or it is not known. */
  readonly mail: 'passes' | 'refused' | undefined;
}

/** What this process knows of an account besides blocks; nothing of a past instant. */
export function troubleOf(
  { accountState, failedLogins, maySend }: ApiDependencies,
  { account, address, direction }: SenderIdentity,
  isPast: boolean,
): AccountTrouble {
  if (isPast || account === undefined || direction === 'inbound')
    return { state: undefined, hasNoLogin: undefined, unsure: undefined, failed: undefined, mail: undefined };
  const state = accountState?.(account);
  const isAllowed = address === undefined || address === '' ? undefined : maySend?.(account, address);
  return {
    state,
    hasNoLogin: state === undefined || state === 'active' ? undefined : withoutLogin(account, state),
    unsure: accountState === undefined ? NOT_KNOWN : undefined,
    failed: failedLogins?.(account),
    mail: isAllowed === undefined ? undefined : isAllowed ? 'passes' : 'refused',
  };
}

export const MAIL_REFUSED = replyLine(NOT_YOUR_ADDRESS);

export function notItsAddress({ account, address }: SenderIdentity): string {
  return `The account ${account} may not use the return path ${address} (smtp.senders): MAIL FROM is refused.`;
}

const NOT_KNOWN =
  'Whether there is such an account, whether its password is right and which return paths it may use is not known here: this process has no users file, since it has not the role smtp. The SMTP nodes know.';

function withoutLogin(account: string, state: AccountState): string {
  return state === 'unknown'
    ? `There is no such account: ${account} is not in the users file, and its logins fail as with a wrong password.`
    : `The account ${account} is disabled: its logins fail as with a wrong password.`;
}

/** So that nobody is told that all is well with an account whose program has a wrong password. */
export function failedSentence({ failed, putOff, since, at, network }: FailedLogins): string {
  const [first, last] = [formatInstant(since), formatInstant(at)];
  const times = (count: number): string => (count === 1 ? '1 login of it' : `${count} logins of it`);
  const when = failed + putOff === 1 ? `at ${last}` : `since ${first}, the last at ${last}`;
  const what = [
    ...(failed === 0 ? [] : [`${times(failed)} failed with a wrong password`]),
    ...(putOff === 0
      ? []
      : [
          `${times(putOff)} ${putOff === 1 ? 'was' : 'were'} put off (454), since too many from that network had failed`,
        ]),
  ];
  return `${what.join(', and ')}: ${when} from ${network}.`;
}

export function failedView(failed: FailedLogins | undefined): z.infer<typeof failedLoginsShape> {
  if (failed === undefined) return null;
  return { ...failed, since: formatInstant(failed.since), at: formatInstant(failed.at) };
}

/** Why rules act on nobody now, or do less than they say, whatever is counted. */
export function heldBack({ models, clock }: Pick<ApiDependencies, 'models' | 'clock'>): readonly string[] {
  const { sendVolume, automaticBlocks } = models;
  const { mode, maxAutomaticBlocks } = sendVolume.rules;
  if (mode === 'observe') return ['Rules only observe now (mode: observe): none of them blocks or proposes.'];
  const { max, window } = maxAutomaticBlocks;
  return automaticBlocks.breakers
    .filter((breaker) => automaticBlocks.within(breaker, window, clock.now()) >= max)
    .map(
      (breaker) =>
        `The circuit breaker "${breaker}" is open: such blocks are only proposed below five times the limit.`,
    );
}

/** What puts off the mail of everybody now, or leaves what is said here behind. */
export function outages(deps: ApiDependencies, direction: MailDirection): readonly string[] {
  const { store } = deps.health();
  const relay = deps.upstreamState?.(direction);
  return [
    ...(relay === 'failing'
      ? ['The mail server behind does not answer now: until it does, mail of everybody is put off (451).']
      : []),
    ...(relay === 'unanswered'
      ? [
          'The mail server behind answers, but not to every message that it is sent: such a message is put off (451).',
        ]
      : []),
    ...(store === 'failing'
      ? [
          deps.hasOutboxes === true
            ? 'The store does not answer now: SMTP nodes go on taking mail as long as their outboxes have room, and what is said here may be out of date.'
            : 'The store takes no events now: until it does, messages of everybody are put off (451).',
        ]
      : []),
  ];
}
