import { setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import { printable, printableLines } from '../kernel/printable.js';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { ApiClient, JsonOption, Schemas } from './client.js';
import { connect, withJson } from './client.js';
import type { CliIo } from './io.js';
import { asJson, counted, done, note, print, tableWithin, terminalWidth } from './io.js';

type Notice = Schemas['Notice'];

/** How long an attempt is waited for: a little more than it may take. */
const PATIENCE: Milliseconds = 20 * SECOND;
const PACE: Milliseconds = SECOND / 4;

/** `stopgap notify list|test|resend`. */
export function notifyVerb(program: Command, io: CliIo): void {
  const notify = program.command('notify').description('channels that notices are sent to');

  withJson(notify.command('list').description('list the channels and the notices that did not arrive'))
    .option('--all', 'the notices that arrived too')
    .action(async (options: JsonOption & { readonly all?: true }) => {
      const found = await (await connect(io, options)).get('/api/v1/notices');
      if (options.json === true) return print(io, asJson(found));
      if (found.channels.length === 0)
        return note(io, 'no channels: see notices.channels in docs/run/notices.md');
      const channels = found.channels.map((channel) => {
        const { name, type, waiting, dead, disabled, stuck, events } = channel;
        const state = disabled ? 'disabled' : stuck > 0 ? 'stuck' : 'on';
        return [name, type, state, String(waiting), gatheredText(channel), String(dead), events.join(',')];
      });
      print(
        io,
        tableWithin(
          [['CHANNEL', 'TYPE', 'STATE', 'WAITING', 'GATHERED', 'DEAD', 'EVENTS'], ...channels],
          terminalWidth(io),
        ),
      );
      const notices = found.channels
        .flatMap((channel) => channel.notices)
        .filter(({ state }) => options.all === true || state !== 'delivered');
      if (notices.length === 0) return;
      const rows = notices.map((notice) => {
        const { id, channel, state, attempts, at } = notice;
        return [id, channel, state, String(attempts), at, whatText(notice)];
      });
      print(io, '');
      print(
        io,
        tableWithin([['ID', 'CHANNEL', 'STATE', 'ATTEMPTS', 'AT', 'WHAT'], ...rows], terminalWidth(io)),
      );
    });

  withJson(
    notify
      .command('test <channel>')
      .description('send what the newest block made a channel say, marked as a test'),
  ).action(async (channel: string, options: JsonOption) => {
    const client = await connect(io, options);
    const accepted = await client.ask('post', '/api/v1/notices/test', { body: { channel } });
    if ('wouldSay' in accepted) {
      if (options.json === true) return print(io, asJson(accepted));
      note(io, `nothing was sent: ${accepted.channel} tells owners alone; it would say:`);
      return print(io, printableLines(accepted.wouldSay));
    }
    tell(io, options, await attempted(client, accepted.id));
  });

  withJson(
    notify
      .command('resend [ids...]')
      .description('send notices again that were given up: those of these ids, or all'),
  ).action(async (given: string[], options: JsonOption) => {
    const client = await connect(io, options);
    const { channels } = await client.get('/api/v1/notices');
    const all = channels.flatMap(({ notices }) => notices);
    const dead = all.filter(({ state }) => state === 'dead');
    const ids = given.length > 0 ? given.map((text) => meant(all, text).id) : dead.map(({ id }) => id);
    for (const id of ids)
      await client.ask('post', '/api/v1/notices/{id}/resend', { params: { path: { id } } });
    const text =
      ids.length === 0 ? 'nothing was given up' : `${counted(ids.length, 'notice')} to be sent again`;
    done(io, options, { resent: ids }, text);
  });
}

function whatText({ title, to, error }: Notice): string {
  const whom = to === null ? '' : `, to ${to}`;
  return printable(`${title}${whom}${error === null ? '' : ` (${error})`}`);
}

/** Events that wait for the next notice, as in quiet hours. */
function gatheredText({ gathered, gatheredUntil }: Schemas['NoticeChannel']): string {
  if (gathered === null) return 'unknown';
  return gatheredUntil === null ? String(gathered) : `${gathered} until ${gatheredUntil}`;
}

/**
 * The notice whose id begins like that. If several do, the one that was given up.
 *
 * @throws StopgapError if there is none; InvalidInput if there is more than one
 */
function meant(notices: readonly Notice[], text: string): Notice {
  const found = notices.filter(({ id }) => text !== '' && id.startsWith(text.toLowerCase()));
  const dead = found.filter(({ state }) => state === 'dead');
  const [only, ...others] = dead.length > 0 ? dead : found;
  if (only === undefined)
    throw new StopgapError(
      'not-found',
      `there is no notice ${printable(text)}: stopgap notify list --all shows them`,
    );
  if (others.length === 0) return only;
  const ids = [only, ...others].slice(0, 5).map(({ id, title }) => `${id}: ${printable(title)}`);
  throw new InvalidInput(
    'id',
    `several ids begin with ${printable(text)} (${ids.join('; ')}): give more of it`,
  );
}

/** The notice, once an attempt is over, or as it is when patience ends. */
async function attempted(client: ApiClient, id: string): Promise<Notice | undefined> {
  for (let waited = 0; ; waited += PACE) {
    const { channels } = await client.get('/api/v1/notices');
    const found = channels.flatMap(({ notices }) => notices).find((one) => one.id === id);
    if (found?.state === 'delivered' || found?.state === 'dead' || (found?.error ?? null) !== null)
      return found;
    if (waited >= PATIENCE) return found;
    await setTimeout(PACE);
  }
}

function tell(io: CliIo, options: JsonOption, notice: Notice | undefined): void {
  if (notice?.state === 'delivered') return done(io, options, notice, `sent: ${printable(notice.title)}`);
  const why = notice?.error ?? 'no process with the role worker has tried yet';
  throw new StopgapError(
    'unavailable',
    `not sent: ${why}${notice?.state === 'waiting' ? '; it is tried again' : ''}`,
  );
}
