import type { Request } from 'express';
import type { BlockCommand } from '../blocks/commands.js';
import type { Executed } from '../commands/block-commands.js';
import type { CommandContext } from '../commands/handle-command.js';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { decisionFields } from '../log/decisions.js';
import { within } from '../runtime/clock.js';
import type { Subject } from '../sending/subjects.js';
import { StoreUnavailable } from '../store/port.js';
import type { ApiDependencies } from './dependencies.js';
import { invalid } from './http/problem.js';
import type { ApiRequest } from './http/route.js';

/** How long the read models may take to fold what was just written. */
const FOLD_PATIENCE = 5 * SECOND;

/**
 * Says who gives a command, what its events name as their cause, and what If-Match asks for.
 *
 * @param what the name of what If-Match guards; without a name the header is not read
 */
export function contextOf(
  { caller, requestId, seed, trace, request }: ApiRequest<unknown, unknown>,
  what?: string,
): CommandContext {
  const matches = what === undefined ? undefined : ifMatch(request);
  return {
    by: `admin:${caller.name}`,
    correlation: `request:${requestId}`,
    seed,
    trace,
    precondition: what === undefined || matches === undefined ? undefined : { what, matches },
  };
}

/** The header of an answer to a request that had been carried out before. */
export function replayed(repeated: boolean): Readonly<Record<string, string>> {
  return repeated ? { 'Idempotency-Replayed': 'true' } : {};
}

export const NOT_SHOWN = 'the change is recorded, but the read models have not caught up with it yet';

/**
 * Resolves when the event at this position shows in the read models. @throws StoreUnavailable if that takes too long
 */
export async function shown(
  { clock, models }: ApiDependencies,
  position: number,
  patience: Milliseconds = FOLD_PATIENCE,
): Promise<void> {
  await within(clock, patience, models.reached(position), () => {
    throw new StoreUnavailable(NOT_SHOWN);
  });
}

type Done = Pick<Executed, 'position' | 'repeated'> & { readonly facts: readonly unknown[] };

interface Execution<D extends Done> {
  readonly execute: () => Promise<D>;
  /** Logs what was changed; called if something was. */
  readonly log: (done: D) => void;
}

/**
 * Carries out a caller's command, so that Idempotency-Key and read-after-write hold. Logs what was changed, and resolves
 * when the read models show it.
 *
 * @throws what `execute` throws; StoreUnavailable
 */
export async function carryOut<D extends Done>(
  deps: ApiDependencies,
  { execute, log }: Execution<D>,
): Promise<D> {
  const done = await execute();
  if (done.facts.length > 0 && !done.repeated) log(done);
  await shown(deps, done.position);
  return done;
}

/**
 * Carries out a caller's command on a subject.
 *
 * @param block the block whose version If-Match names
 * @throws StopgapError as `decide` does; `precondition-failed`; StoreUnavailable
 */
export async function carryOutOn(
  deps: ApiDependencies,
  request: ApiRequest<unknown, unknown>,
  subject: Subject,
  command: BlockCommand,
  block?: string,
): Promise<Executed> {
  const { log, blockCommands } = deps;
  const context = contextOf(request, block === undefined ? undefined : `block ${block}`);
  return carryOut(deps, {
    execute: () => blockCommands.execute(subject, command, context),
    log: (done) =>
      log.info(decisionFields(context.by, subject, done, context.correlation), 'an administrator decided'),
  });
}

/** Whether a sender of that very name is known: it counts for a rule now, or was blocked or proposed once. */
export const isSeenBy =
  ({ models, clock }: ApiDependencies) =>
  (subject: Subject): boolean =>
    models.ledger.rows.on(subject).next().done === false ||
    models.sendVolume
      .readings(subject, clock.now())
      .some(({ observed, inWindow = observed }) => inWindow > 0);

/** The strong entity tag of a version (RFC 9110, 8.8.3). */
export function etagOf(version: number | string): string {
  return `"${version}"`;
}

/** True if the client has this version already: If-None-Match compares weakly (RFC 9110, 13.1.2). */
export function isKnown(request: Request, version: number): boolean {
  const header = request.get('if-none-match');
  if (header === undefined) return false;
  return tags(header, 'If-None-Match').some(
    (tag) => tag === '*' || tag.replace(/^W\//, '') === etagOf(version),
  );
}

/** Whether If-Match lets a version through; undefined if the client did not ask. */
function ifMatch(request: Request): ((version: number | string) => boolean) | undefined {
  const header = request.get('if-match');
  if (header === undefined) return undefined;
  const wanted = tags(header, 'If-Match');
  return (version) => wanted.includes('*') || wanted.includes(etagOf(version));
}

function tags(header: string, name: string): readonly string[] {
  const found = header.split(',').map((tag) => tag.trim());
  if (found.every((tag) => /^(?:\*|(?:W\/)?"[\x21\x23-\x7e]*")$/.test(tag))) return found;
  throw invalid([{ field: name, message: 'must be * or entity tags in double quotes, as ETag gave them' }]);
}
