import path from 'node:path';
import type { RunningApp } from '../app.js';
import { relaysOf } from '../config/schema.js';
import type { LoadedConfig } from '../config.js';

/** What listens where, and what to try next. */
export function banner({ config, evaluation: evaluating, file }: LoadedConfig, app: RunningApp): string {
  const shown = (target: string): string => {
    const relative = path.relative(process.cwd(), target);
    return relative.startsWith('..') ? target : `./${relative}`;
  };
  const lines = [
    '',
    `Stopgap is running${evaluating ? ' an evaluation set-up: nothing leaves this machine' : ''}.`,
    '',
    ...app.listening.map(({ what, address }) => `  ${what.padEnd(12)}${address}`),
    `  ${'data'.padEnd(12)}${shown(config.data)}`,
    ...(config.roles.includes('smtp') ? relaysOf(config) : []).map(
      ({ relay }, index) =>
        `  ${(index === 0 ? 'mail to' : 'inbound to').padEnd(12)}${relayText(relay.target, shown)}`,
    ),
    `  ${'rules'.padEnd(12)}${rulesText(app.rules, config.rules, shown)}`,
    ...(file === undefined ? [] : [`  ${'configured'.padEnd(12)}${shown(file)}`]),
  ];
  const [away, ...others] = app.unanswered;
  if (away !== undefined) {
    const isOneOfTwo = others.length === 0 && relaysOf(config).length > 1;
    const which = !isOneOfTwo
      ? ''
      : away === 'inbound'
        ? ' that takes what arrives'
        : ' that takes submissions';
    lines.push(
      '',
      `The mail server behind${which} does not answer: until it does, clients are told to try again later.`,
    );
  }
  const { evaluation } = app;
  if (evaluation !== undefined) {
    lines.push('');
    if (evaluation.password !== undefined) {
      lines.push(`  account     ${evaluation.account}`, `  password    ${evaluation.password}`);
    }
    if (evaluation.token !== undefined) lines.push(`  API token   ${evaluation.token} (administrator)`);
    if (evaluation.credentialsKept) {
      const where = shown(evaluation.credentialsFile);
      lines.push(
        evaluation.token === undefined
          ? `  credentials are in ${where}`
          : `  shown this once; kept in ${where}`,
      );
    }
    lines.push(
      '',
      'Try, in another terminal:',
      '  npx stopgap simulate            one account is phished: watch it being contained',
      '  npx stopgap block list          what is blocked, and why',
      '  npx stopgap check --account demo@example.com',
    );
  }
  lines.push('', 'Stop with Ctrl-C.', '');
  return lines.join('\n');
}

function rulesText(
  { version, origin }: RunningApp['rules'],
  file: string | undefined,
  shown: (file: string) => string,
): string {
  if (version === 0) return 'none yet: a process with the role detector puts them in force';
  const origins: Readonly<Record<typeof origin, string>> = {
    defaults: 'built in',
    file: file === undefined ? 'from a file' : shown(file),
    api: 'set through the API',
    shadow: 'promoted from the shadow',
  };
  return `version ${version} (${origins[origin]})`;
}

function relayText(
  target: LoadedConfig['config']['smtp']['relay']['target'],
  shown: (file: string) => string,
): string {
  if ('maildir' in target) return `${shown(target.maildir)} (Maildir)`;
  const { protocol } = target;
  const at = target.address;
  return 'path' in at ? `${protocol} ${at.path}` : `${protocol} ${at.host}:${at.port}`;
}
