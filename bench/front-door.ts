import { dovecotHash, dovecotMissing, RealDovecot } from '../test/support/smtp/real-dovecot.js';
import { postfixMissing, RealPostfix } from '../test/support/smtp/real-postfix.js';
import { isMain, median, print } from './report.js';
import type { Report } from './report.js';
import { load, PASSWORD, start, startStopgap, USER } from './smtp/processes.js';

const ROUNDS = 5;
const MESSAGES = 2_000;
const CONNECTIONS = 20;

const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 1000000, then: block, for: 1h }
`;

/**
 * Messages a second that Stopgap takes for users of a Dovecot, beside a Postfix that asks the same Dovecot and delivers to
 * the same upstream. Postfix answers when a message is in its queue; Stopgap when the upstream has it and the send is durable.
 */
export async function run(): Promise<Report> {
  const name = 'Front door with the users of a Dovecot, beside Postfix';
  const missing = postfixMissing() ?? dovecotMissing();
  if (missing !== undefined) return { name, rows: [{ label: 'not measured', value: missing }] };
  const closers: (() => unknown)[] = [];
  const scope = { after: (close?: unknown) => void closers.push(close as () => unknown) };
  try {
    const sink = await start('sink.js');
    closers.push(() => sink.stop());
    const hash = dovecotHash('SHA256-CRYPT', PASSWORD, 1000);
    const dovecot = await RealDovecot.start(scope, { users: [`${USER}:${hash}`] });
    process.env['STOPGAP_SMTP_AUTH_BACKEND'] = 'dovecot';
    process.env['STOPGAP_SMTP_AUTH_DOVECOT'] = `127.0.0.1:${dovecot.port}`;
    const stopgap = await startStopgap(sink.port, RULES);
    closers.push(() => stopgap.stop());
    const postfix = await RealPostfix.start(scope, {
      listeners: ['127.0.0.1:2500 inet n - n - - smtpd'],
      outside: sink.port,
      inside: sink.port,
      settings: `smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:${dovecot.port}
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
`,
    });
    const ports = { stopgap: stopgap.port, postfix: postfix.ports[0]! };
    const rates: Record<keyof typeof ports, number[]> = { stopgap: [], postfix: [] };
    // The first round warms both.
    for (let round = 0; round <= ROUNDS; round++)
      for (const which of ['stopgap', 'postfix'] as const) {
        const result = await load(ports[which], CONNECTIONS, MESSAGES);
        if (result.lost + result.refused > 0) throw new Error(`${which}: ${JSON.stringify(result)}`);
        if (round > 0) rates[which].push(result.rate);
        if (which === 'postfix') await postfix.idle();
      }
    const ratio = median(rates.stopgap.map((rate, round) => rate / rates.postfix[round]!));
    const shown = (all: readonly number[]): string => `${Math.round(median(all))}/s`;
    const at = `${CONNECTIONS} connections, 20 messages a login`;
    return {
      name,
      rows: [
        { label: `${at}: Stopgap, delivered and durable`, value: shown(rates.stopgap) },
        { label: `${at}: Postfix, queued`, value: shown(rates.postfix) },
        { label: 'Stopgap / Postfix', value: ratio.toFixed(2) },
      ],
    };
  } finally {
    delete process.env['STOPGAP_SMTP_AUTH_BACKEND'];
    delete process.env['STOPGAP_SMTP_AUTH_DOVECOT'];
    for (const close of closers.reverse()) await close();
  }
}

if (isMain(import.meta.url)) print(await run());
