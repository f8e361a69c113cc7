import type { SMTPServerAuthentication } from 'smtp-server';
import type { ActiveBlock } from '../../projections/blocks/active-blocks.js';
import { LONGEST_PASSWORD } from '../accounts/passwords.js';
import { StopgapError } from '../kernel/errors.js';
import { LONGEST_ADDRESS, normalizeAccount } from '../sending/identity.js';
import type { Attempt } from '../accounts/attempt-limiter.js';
import type { LoggedIn } from './auth/login-verifier.js';
import { BackendAway } from './auth/port.js';
import type { Conversation, SmtpContext } from './conversation.js';
import { BAD_CREDENTIALS, feignedReply, LOGIN_LATER, ReplyError, replyLine } from './replies.js';

/**
 * Checks a login.
 *
 * A block that refuses softly, or holds, gives the same bytes as a wrong password, after the same work: the password is still
 * checked, and never from memory. A block that defers fails temporarily. An honest block lets the login pass, so that
 * the client sees the text at RCPT TO.
 *
 * @throws ReplyError with what the client is told
 */
export async function logIn(
  context: SmtpContext,
  conversation: Conversation,
  auth: SMTPServerAuthentication,
): Promise<LoggedIn> {
  const { limiter, failedLogins, metrics, log, clock } = context;
  const login = auth.username ?? '';
  const { network } = conversation;
  const attempt = await limiter.begin(network, login, auth.password ?? '');
  if (attempt === undefined) {
    metrics.smtp.login('limited');
    failedLogins.note(login, 'putOff', network, clock.now());
    if (log.isLevelEnabled('debug')) log.debug({ network }, 'a login was put off: too many have failed');
    throw new ReplyError(LOGIN_LATER);
  }
  try {
    return await tried(context, conversation, auth, attempt);
  } finally {
    attempt.end();
  }
}

async function tried(
  context: SmtpContext,
  conversation: Conversation,
  auth: SMTPServerAuthentication,
  attempt: Attempt,
): Promise<LoggedIn> {
  const { metrics, models, clock, log, tracing } = context;
  const begun = performance.now();
  const login = auth.username ?? '';
  const { network } = conversation;
  // No name or password is that long. It is not checked, but the failure counts.
  if (isOverlong(auth)) throw failed(context, conversation, attempt, login);
  const name = normalizeAccount(login);
  /** A back end may give another name to the account than the client did: both may be blocked. One lets logins pass if it is honest. */
  const refusing = (account: string): ActiveBlock | undefined => {
    const find = (who: string): ActiveBlock | undefined =>
      models.refusing.find(conversation.asLogin(who), clock.now());
    const own = find(name);
    if (account === name || (own !== undefined && own.refusal !== 'honest')) return own;
    const other = find(account);
    return other === undefined || (own !== undefined && other.refusal === 'honest') ? own : other;
  };
  /** What the login was feigned for. It may end before its failure is told: the password may be another one by then. */
  let met: ActiveBlock | undefined;
  const isFeigned = (account: string): boolean => {
    const block = refusing(account);
    const feigns = block !== undefined && feignedReply(block.refusal) === BAD_CREDENTIALS;
    if (feigns) met = block;
    return feigns;
  };
  const ended = conversation.endedBlocks(name, context.verifier.accountOf(name) ?? name);
  const result = await verify(context, conversation, auth, isFeigned, ended);
  if (!result.ok) throw failed(context, conversation, attempt, login);
  const block = met ?? refusing(result.account);
  if (block === undefined || block.refusal === 'honest') {
    metrics.smtp.login('succeeded');
    if (tracing !== undefined) conversation.login = [begun, performance.now()];
    if (log.isLevelEnabled('debug')) log.debug({ account: result.account, network }, 'a login succeeded');
    return result;
  }
  const reply = feignedReply(block.refusal);
  metrics.smtp.login('feigned');
  metrics.smtp.refused('auth', block.refusal);
  attempt.failed();
  conversation.account = result.account;
  const fields = conversation.fields(undefined);
  conversation.account = undefined;
  context.recorder.loginFailed({
    network,
    kind: 'feigned',
    fresh: !attempt.isRepeated,
    block: block.id,
    account: result.account,
    ...conversation.place,
  });
  context.recorder.refused(
    { ...fields, stage: 'auth', block: block.id, reply: replyLine(reply) },
    block.id,
    tracing?.refused(block.id, 'auth', reply.code, block.id, undefined),
  );
  throw new ReplyError(reply);
}

/** Records a wrong name or password and returns what the client is told. */
function failed(
  { metrics, recorder, failedLogins, clock }: SmtpContext,
  conversation: Conversation,
  attempt: Attempt,
  login: string,
): ReplyError {
  const { network } = conversation;
  metrics.smtp.login('failed');
  attempt.failed();
  failedLogins.note(login, 'failed', network, clock.now());
  const fresh = !attempt.isRepeated;
  recorder.loginFailed({ network, kind: 'genuine', fresh, ...conversation.place });
  return new ReplyError(BAD_CREDENTIALS);
}

function isOverlong({ username = '', password, authzid = '' }: SMTPServerAuthentication): boolean {
  return (
    Buffer.byteLength(username) > LONGEST_ADDRESS ||
    Buffer.byteLength(authzid) > LONGEST_ADDRESS ||
    Buffer.byteLength(password ?? '') > LONGEST_PASSWORD
  );
}

async function verify(
  { verifier, metrics, putOffs, clock }: SmtpContext,
  { client }: Conversation,
  auth: SMTPServerAuthentication,
  isBlocked: (account: string) => boolean,
  ended: number,
): Promise<Awaited<ReturnType<typeof verifier.verify>>> {
  const login = auth.username ?? '';
  // Acting for somebody else (RFC 4616 authzid) is not offered.
  const { authzid = '' } = auth;
  const foreign = authzid !== '' && normalizeAccount(authzid) !== normalizeAccount(login);
  try {
    // It fails then, so it must take the work and the time of a failure.
    const fails = (account: string): boolean => foreign || isBlocked(account);
    const result = await verifier.verify(login, auth.password ?? '', client, fails, ended);
    return foreign ? { ok: false } : result;
  } catch (error) {
    if (!(error instanceof StopgapError)) throw error;
    const isAway = error instanceof BackendAway;
    metrics.smtp.login(isAway ? 'unavailable' : 'overloaded');
    putOffs.note(isAway ? 'logins' : 'checks', clock.now());
    throw new ReplyError(LOGIN_LATER);
  }
}
