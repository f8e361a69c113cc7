import { refusalWhereAsked } from '../recording/verdicts.js';
import { MOST_HELD_WORDS } from '../sending/most-held.js';
import type { SenderIdentity } from '../sending/subjects.js';
import { AS_WRONG_PASSWORD, feignedReply, refusalReply, replyLine, TRY_LATER } from '../smtp/replies.js';
import type { RefusalJson, Refusing } from './check-findings.js';
import type { ApiDependencies } from './dependencies.js';
import type { OwnSettings } from './own-replies.js';
import { LOGIN_ASKERS, UNLESS_BY_DECIDE } from './own-replies.js';

/** What a sender meets at AUTH and at RCPT TO. */
export interface Met {
  readonly atRcpt: Refusing | undefined;
  /** Null where AUTH does not refuse. */
  readonly authReply: string | null;
  readonly deciding: Refusing | undefined;
}

const HELD_THERE = 'The mail server takes its mail and holds it, or refuses what it cannot hold.';
const HELD =
  'A mail server that asks takes the mail and holds it, or refuses what it cannot hold; at a listener of Stopgap it is refused.';

/** Who is asked about, and what was refused of its mail, newest first. */
interface Past {
  readonly sender: SenderIdentity;
  readonly refusals: readonly RefusalJson[];
}

/** What the client of a blocked sender is told at RCPT TO, or later where nobody can hold its mail; null where that is held. */
export function toldOf(
  { isAsked, wasAsked, mailServers, contact }: ApiDependencies,
  refusing: Refusing,
  past?: Past,
): { reply: string | null } {
  const { block } = refusing;
  if (isAsked !== true || mailServers === undefined)
    return { reply: replyLine(refusalReply(block.refusal, contact)) };
  const { verdicts } = mailServers;
  const { action, line, reply } = verdicts.refusalOf(block);
  if (action !== 'hold') return { reply: line };
  const { asked, holding } = verdicts.questions;
  // As far as is known: of the mail servers that have asked since the start none can hold.
  const isHoldable = asked === 0 || holding > 0 || wasAsked?.() === true;
  if (!isHoldable || !verdicts.mayHold) return { reply: replyLine(reply) };
  return { reply: unheldOf(refusing, past)?.reply ?? null };
}

/** The last refusal of mail like this by a block that holds, if it was one of mail that could not be held. */
function unheldOf({ block: { id } }: Refusing, past: Past | undefined): RefusalJson | undefined {
  const address = past?.sender.address;
  /** Whether mail was held since, with another return path than the one that is asked about. */
  let isOtherHeld = false;
  for (const refusal of past?.refusals ?? []) {
    const { block, stage, unheld, full, returnPath } = refusal;
    if (block !== id || stage === 'auth') continue;
    const isLikeThis = address !== undefined && returnPath === address;
    if (unheld !== true) {
      if (address === undefined || isLikeThis) return undefined;
      isOtherHeld = true;
    } else if (isLikeThis && full !== true) return refusal;
    // What a mail server knows of bounces before there is a queue id is so of bounces alone. All else is so of all mail, until
    // some is held: it has no queue ids, it can hold none, or the block is full.
    else if ((full === true || stage === 'data' || returnPath !== '') && !isOtherHeld) return refusal;
  }
  return undefined;
}

/** Dovecot can only say that a login failed: all but a soft refusal is told at RCPT TO there. */
const AS_WRONG = `as a wrong password, where ${LOGIN_ASKERS} asks; elsewhere the login passes`;

export function authReplyTo(deps: ApiDependencies, refusing: Refusing): string | null {
  const { refusal } = refusing.block;
  if (refusal === 'honest') return null;
  if (deps.isAsked !== true) return replyLine(feignedReply(refusal));
  const isHeld = deps.mailServers?.verdicts.refusalOf(refusing.block).action === 'hold';
  return refusal === 'soft' && !isHeld ? AS_WRONG : null;
}

/** What would refuse a sender, and what its client is told then. */
export interface Standing {
  readonly block: string;
  readonly replies: readonly string[];
  /**
   * When the sender was refused before, if it would be only as it came then: by its EHLO name, IP address or return path of
   * then.
   */
  readonly cameAt: string | undefined;
}

export function standingOf(
  deps: ApiDependencies,
  { deciding, authReply, atRcpt }: Met,
  past: Past,
  cameAt: string | undefined,
): Standing | undefined {
  if (deciding === undefined) return undefined;
  const atMail = atRcpt === undefined ? undefined : toldOf(deps, atRcpt, past).reply;
  const there = deps.asksBesides;
  const besides = there === undefined ? [] : [refusalWhereAsked(deciding.block, there, deps.contact).line];
  const atDovecot = failsAtDovecot(deps, deciding, authReply) ? [AS_WRONG_PASSWORD] : [];
  const told = [authReply === AS_WRONG ? null : authReply, atMail ?? null, ...besides, ...atDovecot];
  return { block: deciding.block.id, replies: told.filter((reply) => reply !== null), cameAt };
}

/** Whether Dovecot asks, so that a mail server words the failed login. Where it does not ask the login passes. */
function failsAtDovecot(
  { isAsked, dovecotAsks, asksBesides }: ApiDependencies,
  { block }: Refusing,
  authReply: string | null,
): boolean {
  const isOfLogins =
    isAsked === true ? authReply === AS_WRONG : block.refusal === 'soft' && asksBesides !== 'hold';
  return isOfLogins && dovecotAsks?.() === true;
}

/** Which replies of ours there are, by the settings. */
export function ownSettingsOf(deps: ApiDependencies): OwnSettings {
  const { isAsked = false, asksBesides, mailServers, takesArriving = false, failsReading = false } = deps;
  const failsLogins = !isAsked || deps.dovecotAsks?.() !== false;
  const soft = { id: '', refusal: 'soft' } as const;
  const there =
    asksBesides === undefined
      ? mailServers?.verdicts.refusalOf(soft)
      : refusalWhereAsked(soft, asksBesides, undefined);
  // Where mail is held, what comes too early is told to come again.
  const code = there?.action === 'refuse' ? there.reply.code : TRY_LATER.code;
  return {
    isAsked,
    takesArriving,
    failsReading,
    failsLogins,
    hasLoginsWorded: isAsked || deps.dovecotAsks?.() === true,
    askedCodes: isAsked || asksBesides !== undefined || mailServers?.verdicts.wasAsked === true ? [code] : [],
  };
}

/** What becomes of its mail where a mail server asks: what the steps say may be the answer of SMTP nodes alone. */
export function whereAsked(deps: ApiDependencies, refusing: Refusing, past: Past): readonly string[] {
  const { block } = refusing;
  const { isAsked, asksBesides, mailServers, contact } = deps;
  const there =
    asksBesides === undefined
      ? mailServers?.verdicts.refusalOf(block)
      : refusalWhereAsked(block, asksBesides, contact);
  if (block.refusal === 'hold' || there?.action === 'hold') {
    const unheld = unheldOf(refusing, past);
    return [
      isAsked === true ? HELD_THERE : HELD,
      ...(unheld === undefined
        ? []
        : [
            unheld.full === true
              ? `At ${unheld.at} the block held as much as one may (${MOST_HELD_WORDS}), and its mail was refused with "${unheld.reply}": what was refused has to be sent again.`
              : `At ${unheld.at} the mail server could not hold its mail, and refused it with "${unheld.reply}": what it refused has to be sent again.`,
          ]),
    ];
  }
  if (asksBesides === undefined || block.refusal !== 'soft' || past.sender.direction !== 'outbound')
    return [];
  const isAskedToo = deps.dovecotAsks?.();
  const login =
    isAskedToo === true
      ? `fails as with a wrong password where ${LOGIN_ASKERS} asks too, and passes elsewhere`
      : isAskedToo === false
        ? `passes, since no Dovecot asks, ${UNLESS_BY_DECIDE}`
        : `passes, unless ${LOGIN_ASKERS} asks too`;
  return [
    `Where a mail server asks Stopgap its login ${login}, and the client hears "${there!.line}" for each recipient.`,
  ];
}

/** A block refuses nothing by itself where mail servers are to ask. */
export function askedByNobody(
  { isAsked, wasAsked, mailServers, dovecotAsks }: ApiDependencies,
  authReply: string | null,
): readonly string[] {
  const isInVain = isAsked === true && wasAsked?.() !== true && mailServers?.verdicts.wasAsked !== true;
  if (!isInVain) return [];
  return [authReply !== null && dovecotAsks?.() === true ? LOGINS_FAIL : NOBODY_ASKS];
}

/** Whether mail that arrives meets no block: neither a port here takes it, nor does a mail server ask. */
export function arrivesElsewhere(
  { takesArriving, hasOutboxes, wasAsked, mailServers }: ApiDependencies,
  { direction }: SenderIdentity,
): boolean {
  // Of a store with several nodes, mail servers may ask another one.
  const mayBeAsked = hasOutboxes === true || wasAsked?.() === true || mailServers?.verdicts.wasAsked === true;
  return direction === 'inbound' && takesArriving === false && !mayBeAsked;
}

export const ARRIVES_ELSEWHERE =
  'This Stopgap takes no mail that arrives (smtp.inbound), and no mail server has asked it since this start: no block stops such mail here.';

const NOBODY_ASKS =
  'But no mail server has asked Stopgap about mail since this start, and as long as none does, its mail goes on: see stopgap doctor.';
const LOGINS_FAIL =
  'Its logins fail where Dovecot asks. But no mail server has asked Stopgap about mail since this start, and as long as none does, mail of sessions that are open goes on: see stopgap doctor.';
