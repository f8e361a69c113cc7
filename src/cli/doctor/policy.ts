import type { Findings, World } from './findings.js';

const RECIPE = 'see docs/run/mail-servers.md';

/** Whether mail servers ask the policy service that runs, and as they should: what they leave out goes wrong in silence. */
export function checkPolicy(findings: Findings, { server }: World): void {
  if (server === undefined) {
    findings.notTried('what mail servers have asked: no running Stopgap answers');
    return;
  }
  const { rcpt, data, endOfMessage, withLogin } = askedOf(server.health['policy']);
  const before = rcpt + data;
  const all = before + endOfMessage;
  if (all === 0) {
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
  findings.ok(
    `${all} requests since the start, ${endOfMessage} at END-OF-MESSAGE, ${withLogin} with a login`,
  );
}

function askedOf(report: unknown): Record<'rcpt' | 'data' | 'endOfMessage' | 'withLogin', number> {
  const { rcpt = 0, data = 0, endOfMessage = 0, withLogin = 0 } = (report ?? {}) as Record<string, number>;
  return { rcpt, data, endOfMessage, withLogin };
}
