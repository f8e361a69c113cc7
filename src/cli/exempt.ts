import type { Command } from 'commander';
import { actorName } from '../kernel/actor.js';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import { printable } from '../kernel/printable.js';
import type { SubjectType } from '../sending/subjects.js';
import { askedSubject, SUBJECT_TYPES } from '../sending/subjects.js';
import type { ApiClient, JsonOption, Schemas } from './client.js';
import { connect, PART_OF_ID, withClient } from './client.js';
import { relative } from './client-format.js';
import type { CliIo } from './io.js';
import { asJson, done, note, noteMore, print, table, warn } from './io.js';
import type { SpanOption } from './options.js';
import { requireSpan, spanOf, withSpan, wordsArgument } from './options.js';
import { orNote } from './refused.js';

type Exemption = Schemas['Exemption'];

interface AddOption extends JsonOption, SpanOption {
  readonly reason: string;
}

/** `stopgap exempt list|add|revoke`. */
export function exemptVerb(program: Command, io: CliIo): void {
  const exempt = program.command('exempt').description('whom rules must neither block nor propose to block');

  withClient(exempt.command('list').description('list the exemptions in force'))
    .option('--json', 'as JSON')
    .option('--limit <number>', 'at most so many, up to 500', '50')
    .action(async (options: JsonOption & { limit: string }) => {
      const client = await connect(io, options);
      const found = await client.get('/api/v1/exemptions', { params: { query: { limit: options.limit } } });
      if (options.json === true) print(io, asJson(found));
      else if (found.items.length === 0) note(io, 'no exemptions');
      else print(io, table([['ID', 'SUBJECT', 'BY', 'ENDS', 'SAVED', 'WHY'], ...found.items.map(row)]));
      if (found.next !== null) noteMore(io, options.limit, 'see Exemptions on the page');
    });

  const row = ({ id, subject, by, until, saved, reason }: Exemption): string[] => [
    printable(id),
    named(subject),
    printable(by === null ? 'rules' : actorName(by)),
    until === null ? 'never' : relative(until, io.clock.now()),
    String(saved),
    printable(reason),
  ];

  const add = withSpan(
    withClient(
      exempt
        .command('add')
        .addArgument(wordsArgument('<type>', SUBJECT_TYPES))
        .argument('<value>')
        .description(`exempt one of ${SUBJECT_TYPES.join(', ')}`),
    ),
  );
  add
    .requiredOption('--reason <text>', 'why')
    .option('--json', 'as JSON')
    .action(async (type: SubjectType, value: string, options: AddOption) => {
      requireSpan(add, options);
      const client = await connect(io, options);
      const made = await client.ask('post', '/api/v1/exemptions', {
        body: { subject: { type, value }, reason: options.reason, ...spanOf(options) },
      });
      if (options.json === true) return print(io, asJson(made));
      const ends = made.until === null ? 'for ever' : `until ${made.until}`;
      note(io, `${named(made.subject)} is exempt ${ends}: ${made.id}`);
      warn(
        io,
        made.blocks.map(
          ({ id, subject }) =>
            `${named(subject)} is blocked all the same: to end that, stopgap block release ${id}`,
        ),
      );
    });

  withClient(
    exempt
      .command('revoke <exemption> [value]')
      .description(
        'revoke an exemption, named by its id or by its subject, such as account news@example.com',
      ),
  )
    .option('--note <text>', 'why')
    .option('--json', 'as JSON')
    .action(async (exemption: string, value: string | undefined, options: JsonOption & { note?: string }) => {
      const client = await connect(io, options);
      const { id, subject } = await meant(client, exemption, value);
      const body = options.note === undefined ? {} : { note: options.note };
      await client.ask('delete', '/api/v1/exemptions/{id}', { params: { path: { id } }, body });
      done(io, options, { revoked: id }, `the exemption ${printable(id)} is revoked`);
      if (options.json !== true && subject !== undefined) await tellExempt(io, client, subject);
    });
}

/**
 * The exemption that a person means: by its subject, else by what is given, which the server takes for an id.
 *
 * @throws InvalidInput if several are of that subject
 */
async function meant(
  client: ApiClient,
  exemption: string,
  value: string | undefined,
): Promise<{ readonly id: string; readonly subject?: Exemption['subject'] }> {
  const type = value === undefined ? undefined : askedSubject(exemption, value).type;
  const found: Exemption[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.get('/api/v1/exemptions', {
      params: { query: { type, limit: '500', cursor } },
    });
    found.push(...page.items.filter((item) => isOf(item, value ?? exemption)));
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  if (found.length === 0) {
    if (value === undefined) return { id: exemption };
    throw new StopgapError(
      'not-found',
      `there is no exemption of ${exemption} ${value}: stopgap exempt list shows them`,
    );
  }
  // An exemption in the rules cannot be revoked, so the other one is meant.
  const revocable = found.filter(({ origin }) => origin === 'admin');
  const [only, ...others] = revocable.length === 0 ? found : revocable;
  if (others.length === 0) return only!;
  const all = revocable.map(({ id, subject }) => `${id} of ${named(subject)}`).join(', ');
  throw new InvalidInput(
    'id',
    `several exemptions are of ${exemption} (${all}): give an id, or the type before it`,
  );
}

/** Another exemption may cover the subject: of the rules, or of its domain or network. */
async function tellExempt(io: CliIo, client: ApiClient, subject: Exemption['subject']): Promise<void> {
  const { type, value } = subject;
  // One name or address does not tell of all that a pattern or a wide network has.
  if (value.includes('*') || (value.includes('/') && !value.endsWith('/64'))) return;
  const asked = client.get('/api/v1/senders/{type}/{value}', { params: { path: { type, value } } });
  const sender = await orNote(io, 'whether another exemption covers it', asked);
  const cover = sender?.standing.exemption ?? undefined;
  if (cover === undefined) return;
  note(io, `${named(subject)} is still exempt: ${printable(cover.reason)} (${printable(cover.id)})`);
}

/** Whether it is of what a person wrote, in any spelling of it: a subject, or the beginning of an id. */
function isOf({ id, subject }: Exemption, text: string): boolean {
  if (id === text || (PART_OF_ID.test(text) && id.startsWith(text.toLowerCase()))) return true;
  try {
    return askedSubject(subject.type, text).value === subject.value;
  } catch (thrown) {
    if (thrown instanceof InvalidInput) return false;
    throw thrown;
  }
}

function named({ type, value }: Exemption['subject']): string {
  return `${type} ${printable(value)}`;
}
