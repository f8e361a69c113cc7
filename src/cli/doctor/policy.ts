import type { Config } from '../../config.js';
import { formatDuration, MINUTE, parseInstant } from '../../kernel/time.js';
import type { Findings, World } from './findings.js';

const RECIPE = 'see docs/run/mail-servers.md';

/** Whether mail servers ask the Stopgap that runs, and as they should: what they leave out goes wrong in silence. */
export function checkPolicy(findings: Findings, { loaded, server }: World): void {
  const isAskedByHttp = askedByHttp(findings, server?.health['http']);
  const { policy, roles } = loaded.config;
  const why =
    policy.listen === undefined
      ? 'no mail server asks: policy.listen is not set'
      : !roles.includes('policy')
        ? 'this process has no role policy'
        : server === undefined
          ? 'what mail servers have asked: no running Stopgap answers'
          : undefined;
  if (why === undefined) askedByProtocol(findings, server?.health['policy'], isAskedByHttp);
  else if (!isAskedByHttp) findings.notTried(why);
}

/** @returns whether a mail server has asked over HTTP. It reports what was sent by itself. */
function askedByHttp(findings: Findings, report: unknown): boolean {
  const { asked = 0, withLogin = 0 } = (report ?? {}) as Partial<Record<'asked' | 'withLogin', number>>;
  if (asked === 0) return false;
  if (withLogin === 0)
    findings.warning(
      'no question names a login (account), so that no account is refused',
      `ask where users log in; ${RECIPE}`,
    );
  findings.ok(`${asked} questions over HTTP since the start, ${withLogin} with a login`);
  return true;
}

/** How mail servers ask by the policy protocol. @param isAskedBesides whether they need not */
function askedByProtocol(findings: Findings, report: unknown, isAskedBesides: boolean): void {
  const { rcpt, data, endOfMessage, withLogin, unheld, full } = askedOf(report);
  const before = rcpt + data;
  const all = before + endOfMessage;
  if (all === 0) {
    if (isAskedBesides) return;
    findings.warning('no mail server has asked since the start', `${RECIPE}, or send a message through it`);
    return;
  }
  if (endOfMessage === 0)
    findings.warning('mail servers do not ask at END-OF-MESSAGE, so that no send is recorded', RECIPE);
  if (before === 0)
    findings.warning(
      'mail servers ask at END-OF-MESSAGE alone, so that only whole messages are refused, and domains of several recipients are unknown',
      RECIPE,
    );
  if (withLogin === 0)
    findings.warning(
      'no request names a login (sasl_username), so that no account is counted or refused',
      `ask where users log in; ${RECIPE}`,
    );
  if (unheld > 0)
    findings.warning(
      `mail that is to be held came to its end without a queue id, so that it could not be held and was refused (${unheld} since the start): Postfix has none behind smtpd_proxy_filter, and an earlier recipe for Exim named none for the null sender`,
      `Postfix: use a milter or content_filter in place of smtpd_proxy_filter, or another refusal; Exim: copy the recipe again; ${RECIPE}`,
    );
  if (full > 0)
    findings.warning(
      `mail that is to be held was refused, since its block holds as much as one may (${full} since the start)`,
      `decide on what is held: stopgap block held ID with --release or --delete; ${RECIPE}`,
    );
  findings.ok(
    `${all} requests since the start, ${endOfMessage} at END-OF-MESSAGE, ${withLogin} with a login`,
  );
}

/** Whether a Dovecot that asks (auth policy) asks for what it should, and reports. */
export function checkDovecot(findings: Findings, { loaded, server }: World): void {
  if (server === undefined) {
    findings.notTried('what Dovecot has asked: no running Stopgap answers');
    return;
  }
  const report = (server.health['dovecot'] ?? {}) as Record<string, number>;
  const { asked = 0, proxied = 0, sending = 0, succeeded = 0, failed = 0 } = report;
  const protocols = loaded.config.dovecot.protocols.join(', ');
  if (asked + succeeded + failed === 0) {
    findings.notTried('no Dovecot has asked or reported since the start');
    return;
  }
  // Where it asks after the password, it asks nothing of logins that fail.
  if (asked === 0 && succeeded > 0)
    findings.warning(
      "Dovecot reports logins and does not ask, so that no blocked account's login fails",
      `set auth_policy_check_after_auth=yes; ${RECIPE}`,
    );
  if (asked > 0 && sending === 0)
    findings.warning(
      `Dovecot asks about no login for sending (${protocols}): a mail server that checks passwords elsewhere is not protected`,
      RECIPE,
    );
  if (asked > 0 && isHoldInVain(loaded.config, server.health))
    findings.warning(
      'policy.refuse is hold, so that blocked accounts log in where Dovecot asks, and of the mail servers that have asked since the start there is none that can hold their mail',
      `let the mail server ask the policy service, or set another policy.refuse; ${RECIPE}`,
    );
  if (asked > proxied && succeeded + failed === 0)
    findings.warning(
      'Dovecot does not report, so that failed logins are not recorded',
      `set auth_policy_report_after_auth=yes; ${RECIPE}`,
    );
  const byProxy = proxied === 0 ? '' : `${proxied} of them by stopgap sasl-proxy, which reports none; `;
  findings.ok(
    `${asked} logins asked about since the start, ${sending} for sending (${protocols}); ${byProxy}${succeeded} reported as passed, ${failed} as failed`,
  );
}

/** Whether blocks are to hold mail, and nobody has asked who could. Of other processes nothing is known here. */
function isHoldInVain({ policy, roles }: Config, health: Readonly<Record<string, unknown>>): boolean {
  const asksElsewhere = policy.listen !== undefined && !roles.includes('policy');
  if (policy.refuse !== 'hold' || asksElsewhere) return false;
  const { rcpt, data, endOfMessage } = askedOf(health['policy']);
  const { holding = 0 } = (health['http'] ?? {}) as { readonly holding?: number };
  return rcpt + data + endOfMessage + holding === 0;
}

/** A follower lets hear from it every five minutes. */
const SILENT = 15 * MINUTE;

interface ReportsTold {
  readonly events?: number;
  readonly lastAt?: string | null;
  readonly followers?: readonly { readonly lastAt: string }[];
}

/** Whether who reports what it has seen, such as a follower of a log, still does, and has seen anything. */
export function checkReports(findings: Findings, { server, clock }: World): void {
  if (server === undefined) {
    findings.notTried('what was reported: no running Stopgap answers');
    return;
  }
  const { events = 0, lastAt, followers = [] } = (server.health['reports'] ?? {}) as ReportsTold;
  if (parseInstant(String(lastAt)) === undefined) {
    findings.notTried('nobody has reported anything since the start');
    return;
  }
  const all = followers.length;
  if (events === 0)
    findings.warning(
      'a follower reports, and has found nothing since the start',
      `see that it reads the log that the mail server writes; ${RECIPE}`,
    );
  const silences = followers
    .map((follower) => clock.now() - parseInstant(follower.lastAt)!)
    .filter((since) => since > SILENT);
  if (silences.length > 0)
    findings.warning(
      `${silences.length} of ${all} followers ${silences.length === 1 ? 'has not reported for' : 'have not reported for up to'} ${formatDuration(Math.max(...silences))}`,
      'see that stopgap follow runs on each host and reaches this server; of one that was taken out this ends with the next start',
    );
  findings.ok(`${events} events reported since the start${all === 0 ? '' : `; followers: ${all}`}`);
}

type Asked = Readonly<Record<'rcpt' | 'data' | 'endOfMessage' | 'withLogin' | 'unheld' | 'full', number>>;

function askedOf(report: unknown): Asked {
  const counts = (report ?? {}) as Partial<Asked>;
  const { rcpt = 0, data = 0, endOfMessage = 0, withLogin = 0, unheld = 0, full = 0 } = counts;
  return { rcpt, data, endOfMessage, withLogin, unheld, full };
}
