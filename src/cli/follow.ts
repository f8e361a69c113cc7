import { access, constants, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Command } from 'commander';
import { readIfThere, writePrivateFile } from '../accounts/private-file.js';
import { FileTail } from '../follow/file-tail.js';
import type { LiveLog } from '../follow/follower.js';
import { Follower } from '../follow/follower.js';
import { JournalTail } from '../follow/journal.js';
import { parseNetworks } from '../import/networks.js';
import { ownZone, Zone } from '../import/postfix-log/index.js';
import { StopgapError } from '../kernel/errors.js';
import { SECOND } from '../kernel/time.js';
import { systemClock } from '../runtime/clock.js';
import type { ClientOption } from './client.js';
import { connect, withClient } from './client.js';
import type { CliIo } from './io.js';
import { note, openNamed } from './io.js';

interface FollowOptions extends ClientOption {
  readonly state: string;
  readonly networks: string;
  readonly timezone?: string;
  readonly inbound?: true;
  readonly logins: boolean;
}

/** Who may send without a login, unless told otherwise. */
const OWN_NETWORKS = '127.0.0.0/8 [::1]/128';
/** What the mail system logs. */
const MAIL = 'SYSLOG_FACILITY=2';

/** `stopgap follow`: reports what a live log of Postfix says, until SIGTERM or SIGINT. */
export function followVerb(program: Command, io: CliIo): void {
  const verb = program.command('follow').description('report to a running server what a live mail log says');
  withFollowing(verb.command('postfix-log <file>').description('a mail log of Postfix, through its rotation'))
    .option('--timezone <name>', "the zone of times that name none (default: this machine's)")
    .action(async (name: string, options: FollowOptions) => {
      const file = path.resolve(io.cwd, name);
      await openNamed(
        name,
        'name a file in a folder that is there',
        access(path.dirname(file), constants.R_OK),
      );
      if ((await stat(file).catch(() => undefined))?.isDirectory() === true)
        throw new StopgapError('invalid-input', `${name}: is a folder; name the log in it`);
      const log = new FileTail(file, (text) => note(io, `stopgap: ${text}`));
      await follow(io, file, log, options);
    });
  withFollowing(
    verb
      .command('journal [match...]')
      .description(`the journal of systemd: entries that match, as for journalctl (default: ${MAIL})`),
  ).action(async (given: string[], options: FollowOptions) => {
    const matches = given.length === 0 ? [MAIL] : given;
    await follow(io, `journal ${matches.join(' ')}`, new JournalTail(matches, systemClock), options);
  });
}

function withFollowing(command: Command): Command {
  return withClient(command)
    .requiredOption('--state <file>', 'where to keep how far the log has been read')
    .option('--networks <list>', 'who may send without a login, as in mynetworks', OWN_NETWORKS)
    .option('--inbound', 'also mail that arrives from outside')
    .option('--no-logins', 'without failed logins, where Dovecot reports them');
}

async function follow<Place>(
  io: CliIo,
  name: string,
  log: LiveLog<Place>,
  options: FollowOptions,
): Promise<void> {
  const client = await connect(io, options);
  const file = path.resolve(io.cwd, options.state);
  const load = (): Promise<Place | undefined> => loadState<Place>(file, name);
  await load();
  const follower = new Follower<Place>({
    log,
    name,
    load,
    clock: systemClock,
    logins: options.logins,
    inbound: options.inbound === true,
    save: (place) => writePrivateFile(file, `${JSON.stringify({ version: 1, log: name, place })}\n`),
    report: (items) => client.ask('post', '/api/v1/sends', { body: items }),
    zone: new Zone(options.timezone ?? ownZone(), '--timezone'),
    isOurs: parseNetworks(options.networks, '--networks'),
    tell: (text) => note(io, `stopgap: ${text}`),
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => follower.stop());
  // Alarms alone do not keep the process.
  const alive = setInterval(() => undefined, 60 * SECOND);
  try {
    note(io, `stopgap: following ${name}`);
    await follower.run();
  } finally {
    clearInterval(alive);
  }
}

/** @throws StopgapError if the file is none, or that of another log */
async function loadState<Place>(file: string, name: string): Promise<Place | undefined> {
  const text = await readIfThere(file);
  if (text === undefined) return undefined;
  const state = parsed(text);
  if (state === undefined || typeof state.place !== 'object' || state.place === null)
    throw new StopgapError(
      'invalid-input',
      `${file} does not hold the state of a follower: name another with --state`,
    );
  if (state.log !== name)
    throw new StopgapError(
      'invalid-input',
      `${file} belongs to the follower of ${String(state.log)}: name another with --state`,
    );
  return state.place as Place;
}

function parsed(text: string): { readonly log?: unknown; readonly place?: unknown } | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
