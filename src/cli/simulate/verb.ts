import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { addUser, removeUser } from '../../accounts/users.js';
import type { LoadedConfig } from '../../config.js';
import { formatRelay } from '../../config/values.js';
import { isLocalHost } from '../../config/listening.js';
import { InvalidInput, StopgapError } from '../../kernel/errors.js';
import type { Instant } from '../../kernel/time.js';
import { DAY, SECOND, parseDuration } from '../../kernel/time.js';
import type { Schemas } from '../client.js';
import { askedIfThere } from '../client.js';
import type { CliIo } from '../io.js';
import { asJson, note, print } from '../io.js';
import type { ConfigOption } from '../options.js';
import { configForFiles, withConfig } from '../options.js';
import type { Login, SimulationResult, Target } from './run.js';
import { MailClient, OFFICE, runSimulation } from './run.js';

interface SimulateOptions extends ConfigOption {
  readonly sessions: number;
  readonly attempts: number;
  readonly rcptDomain: string;
  readonly yes?: true;
  readonly json?: true;
}

/** A server looks at its users file every two seconds. */
const PICKED_UP_WITHIN = 15 * SECOND;

/** More than the built-in rules let through of an account that is new to a new installation. */
const ATTEMPTS = 2500;

/** `stopgap simulate`: one account is phished while others work; shows how long the thief can send. */
export function simulateVerb(program: Command, io: CliIo): void {
  const verb = program
    .command('simulate')
    .description(
      'drive a running server through real SMTP: normal traffic, and one account that a thief uses',
    )
    .option('--sessions <n>', 'sessions that the thief opens at once', wholeNumber(1, 200), 20)
    .option('--attempts <n>', 'messages that the thief tries at the most', wholeNumber(1, 100_000), ATTEMPTS)
    .option('--rcpt-domain <domain>', 'where the messages are addressed to', 'example.net')
    .option('--yes', 'also where mail is relayed: the simulated messages really go out')
    .option('--json', 'print the summary as JSON');
  withConfig(verb).action(async (options: SimulateOptions) => {
    const loaded = await configForFiles(io, options);
    const target = targetOf(loaded, options);
    const { target: upstream } = loaded.config.smtp.relay;
    if (!loaded.evaluation && 'maildir' in upstream)
      note(io, `nothing leaves this machine: mail goes into the Maildir ${upstream.maildir}`);
    const domain = 'example.com';
    const run = randomBytes(3).toString('hex');
    const { users } = loaded.config.smtp.auth;
    // Accounts of its own, so that nobody's mailbox is blocked by a rehearsal.
    const names = ['phished', 'office-1', 'office-2', 'office-3'].map((name) => `${name}-${run}@${domain}`);
    const logins = names.map((user) => ({ user, pass: randomBytes(18).toString('base64url') }));
    try {
      for (const { user, pass } of logins) {
        await addUser({ file: users, name: user, password: pass, now: io.clock.now() });
      }
      note(io, `made ${names.length} accounts in ${users}; waiting for the server to notice`);
      await untilKnown({ ...target, ehlo: OFFICE }, logins.at(-1)!);
      const [victim, ...colleagues] = logins;
      note(io, `a thief has the password of ${victim!.user} and opens ${options.sessions} sessions`);
      const result = await runSimulation({
        target,
        victim: victim!,
        colleagues,
        sessions: options.sessions,
        attempts: options.attempts,
        patience: 200,
        longest: 60 * SECOND,
        rcptDomain: options.rcptDomain,
        onProgress: (so) =>
          note(
            io,
            `  ${seconds(so.elapsed).padStart(6)}  through ${so.through}  refused ${so.refused}  colleagues sent ${so.colleaguesSent}`,
          ),
      });
      if (options.json === true) print(io, asJson(result));
      if (result.neverIn !== undefined)
        throw new StopgapError(
          'unavailable',
          `the thief never got in (${result.neverIn.text}): see stopgap check --ehlo ${target.ehlo} --ip ${target.host} --account ${victim!.user}`,
        );
      if (options.json === true) return;
      // In the evaluation set-up a fixed limit is there for this very account.
      const rules = await askedIfThere(io, options, (client) => client.get('/api/v1/rules'));
      const why = loaded.evaluation ? [] : firstMonth(rules, io.clock.now());
      print(io, summary(result, victim!.user, why, rules?.mode === 'observe'));
    } finally {
      for (const user of names) await removeUser({ file: users, name: user });
    }
  });
}

function targetOf({ config }: LoadedConfig, options: SimulateOptions): Target {
  // Another server may listen at its port.
  if (!config.roles.includes('smtp'))
    throw new InvalidInput(
      'roles',
      'this Stopgap takes no submissions (role smtp): simulate needs a server that does',
    );
  const listener = config.smtp.submission.find(
    ({ listen }) => listen.host !== undefined && isLocalHost(listen.host),
  );
  if (listener === undefined)
    throw new InvalidInput(
      'smtp.submission',
      'simulate needs a submission listener on loopback: there is none',
    );
  if (listener.tls.mode === 'implicit')
    throw new InvalidInput('smtp.submission', 'simulate needs a listener with STARTTLS or without TLS');
  const { relay } = config.smtp;
  if (!('maildir' in relay.target) && options.yes !== true) {
    throw new InvalidInput(
      'yes',
      `this server relays its mail to ${formatRelay(relay)}: the simulated messages would really go out; say --yes if they may`,
    );
  }
  return { host: listener.listen.host!, port: listener.listen.port, ehlo: 'WIN-SIMULATED' };
}

async function untilKnown(target: Target, login: Login): Promise<void> {
  const until = performance.now() + PICKED_UP_WITHIN;
  for (;;) {
    const opened = await MailClient.open(target, login);
    if (opened instanceof MailClient) return opened.close();
    if (opened.stage === 'connect')
      throw new StopgapError(
        'unavailable',
        `no server answers at ${target.host}:${target.port}: is \`stopgap serve\` running? (${opened.text})`,
      );
    if (performance.now() > until)
      throw new StopgapError(
        'unavailable',
        `the server does not know the new accounts: does it use another users file? (${opened.text})`,
      );
    await pause(500);
  }
}

/** @param why what else is to be said of how long it took */
function summary(
  result: SimulationResult,
  victim: string,
  why: readonly string[],
  onlyObserved: boolean,
): string {
  const { through, refused, containedAfter, firstRefusal, loginAfter } = result;
  const lines = ['', `Account                 ${victim}`, `Got through             ${through} messages`];
  if (containedAfter === undefined) lines.push('Contained               no: no rule in force blocked it');
  else {
    lines.push(`Contained               ${seconds(containedAfter)} after the first message`);
    lines.push(`Refused after that      ${refused} attempts`);
  }
  if (firstRefusal !== undefined) lines.push(`The thief was told      ${firstRefusal.text}`);
  if (loginAfter !== undefined) lines.push(`Logging in once more    ${loginAfter.text}`);
  lines.push(`Colleagues meanwhile    ${result.colleaguesSent} sent, ${result.colleaguesRefused} refused`);
  if (why.length > 0) lines.push('', ...why);
  const next =
    containedAfter === undefined
      ? [
          onlyObserved
            ? 'Rules only observe (mode: observe). What they would have done:  stopgap rules observed'
            : 'What was proposed:  stopgap block list --state proposed',
        ]
      : ['See it:        stopgap block list', 'And let go:    stopgap block release ID'];
  return [...lines, '', ...next, ''].join('\n');
}

function seconds(span: number): string {
  return `${(span / SECOND).toFixed(1)}s`;
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
    return value;
  };
}

/**
 * Why it may have taken long, if that may be the reason: a young installation knows nobody.
 *
 * @param rules those in force; undefined if the server cannot be asked
 * @returns lines; none if the installation is old enough
 */
export function firstMonth(
  rules: Pick<Schemas['Rules'], 'installedAt' | 'learning'> | undefined,
  now: Instant,
): readonly string[] {
  if (rules === undefined)
    return [
      'The account was a new one. Should this installation be younger than a month (nobody could ask it: set STOPGAP_TOKEN),',
      ...PROPOSED,
    ];
  const { installedAt, learning } = rules;
  const age = installedAt === null ? 0 : now - Date.parse(installedAt);
  if (age >= (parseDuration(learning.installation) ?? 0)) return [];
  return [
    `The account was a new one, and this installation is ${Math.floor(age / DAY)} days old: in its first ${learning.installation}`,
    ...PROPOSED,
  ];
}

const PROPOSED = [
  'rules that go by baselines only propose for whom they do not know yet, and high fixed ceilings block: see',
  'docs/inside/detection.md.',
];
