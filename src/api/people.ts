import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { AdminRecord } from '../accounts/admins.js';
import {
  addAdmin,
  editAdmin,
  normalizeAdmin,
  PEOPLE_ROLES,
  removeAdmin,
  removePasskeys,
  setAdminLink,
} from '../accounts/admins.js';
import { fileFault, staysAsItIs } from '../accounts/private-file.js';
import { ROLES } from '../accounts/roles.js';
import { StopgapError } from '../kernel/errors.js';
import type { Milliseconds } from '../kernel/time.js';
import { DAY, formatInstant } from '../kernel/time.js';
import type { PersonChanged } from '../sessions/events.js';
import { linkHash, newLinkToken } from './first-link.js';
import type { ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import type { PeopleDependencies, PersonSessions } from './sessions.js';
import { instantShape, instantView } from './shapes.js';

/** How long somebody has to set a password. */
const LINK_LASTS: Milliseconds = 3 * DAY;
const PEOPLE = '/api/v1/people';
const PERSON = `${PEOPLE}/{name}`;

const nameInput = z.string('must be a text').max(100, 'at most 100 characters');
const roleInput = z.enum(PEOPLE_ROLES, `must be one of ${PEOPLE_ROLES.join(', ')}`);
const domainsInput = z.array(z.string('must be a text').max(253)).max(1000, 'at most 1000');
const addInput = z.strictObject({ name: nameInput, role: roleInput, domains: domainsInput.optional() });
const editInput = z.strictObject({
  role: roleInput.optional(),
  domains: domainsInput.optional(),
  disabled: z.boolean('must be true or false').optional(),
});
type Add = z.infer<typeof addInput>;
type Edit = z.infer<typeof editInput>;

const personShape = z
  .object({
    name: z.string(),
    role: z.enum(ROLES),
    domains: z.array(z.string()),
    disabled: z.boolean(),
    hasPassword: z.boolean(),
    secondFactor: z.boolean(),
    passkeys: z.int(),
    linkUntil: instantShape
      .nullable()
      .meta({ description: 'Until when a link works that lets them set a password.' }),
    addedAt: z.string().nullable(),
    sessions: z.int(),
    usedAt: instantShape.nullable().meta({ description: 'When one of the sessions was last used.' }),
  })
  .meta({ id: 'Person' });
const linkShape = z
  .object({
    link: z.string().meta({
      description: 'Lets them set a password, once. Relative to the page where api.publicUrl is not set.',
    }),
    until: instantShape,
  })
  .meta({ id: 'PersonLink' });

/**
 * Makes a change in the file of administrators, and takes it over.
 *
 * @throws StopgapError `conflict` where it cannot be written, `unavailable` where it cannot be now; what `change` throws
 */
export async function changeFile<T>(
  { adminsFile }: PeopleDependencies,
  change: (file: string) => Promise<T>,
): Promise<T> {
  if (adminsFile === undefined) throw unwritable('there is no file of administrators here');
  try {
    const done = await change(adminsFile.path);
    await adminsFile.readAgain();
    return done;
  } catch (thrown) {
    const isSystem = (thrown as NodeJS.ErrnoException).syscall !== undefined;
    const isForbidden = thrown instanceof StopgapError && thrown.code === 'forbidden';
    if (!isSystem && !isForbidden) throw thrown;
    const named = `the file of administrators (${adminsFile.path})`;
    if (isForbidden || staysAsItIs(thrown)) throw unwritable(`${named} cannot be written by the server`);
    throw new StopgapError('unavailable', `${named} ${fileFault(thrown, 'try again', 'written')}`);
  }
}

function unwritable(why: string): StopgapError {
  return new StopgapError('conflict', `${why}: use stopgap admin on its machine`);
}

/** The people of the file: who they are and what they may do. */
export class People {
  readonly #deps: PeopleDependencies;
  readonly #sessions: PersonSessions;

  constructor(deps: PeopleDependencies, sessions: PersonSessions) {
    this.#deps = deps;
    this.#sessions = sessions;
  }

  get routes(): readonly Route[] {
    const shared = { role: 'admin', scope: 'none' } as const;
    return [
      route({
        method: 'get',
        path: PEOPLE,
        summary: 'List the people who may sign in, by name',
        ...shared,
        responses: {
          200: {
            description: 'All of them',
            schema: z.object({
              items: z.array(personShape),
              changeable: z.boolean().meta({ description: 'Whether their file can be written here.' }),
            }),
          },
        },
        handle: async () => {
          const all = [...this.#deps.admins().values()].sort((a, b) => (a.name < b.name ? -1 : 1));
          return ok({ items: all.map((one) => this.#view(one)), changeable: await this.#isWritable() });
        },
      }),
      route<unknown, Add>({
        method: 'post',
        path: PEOPLE,
        summary: 'Add a person, who sets a password by a link that works once',
        ...shared,
        isSecret: true,
        body: { schema: addInput },
        responses: {
          201: {
            description: 'The person, and their link',
            schema: z.object({ person: personShape, link: linkShape }),
          },
        },
        handle: (request) => this.#add(request),
      }),
      route({
        method: 'post',
        path: `${PERSON}/link`,
        summary: 'Make a link that lets a person set a password, once; one from before works no more',
        ...shared,
        isSecret: true,
        responses: { 200: { description: 'The link', schema: linkShape } },
        handle: (request) => this.#link(request),
      }),
      route({
        method: 'delete',
        path: `${PERSON}/passkeys`,
        summary: 'Remove all passkeys of a person, as of one who lost a device; their sessions end',
        ...shared,
        responses: { 204: { description: 'They have none' } },
        handle: async (request) => {
          const { name } = this.#named(request);
          const removed = await changeFile(this.#deps, (file) => removePasskeys({ file, name }));
          const now = removed.length > 0 ? 'no passkeys any more' : 'no passkeys; the sessions ended';
          await this.#changed(request, name, { what: 'passkey', description: `${name}: ${now}` });
          await this.#sessions.endOutdated(name, request.requestId, request.caller.name);
          return { status: 204 };
        },
      }),
      route<unknown, Edit>({
        method: 'patch',
        path: PERSON,
        summary: 'Change what a person may do; their sessions end',
        ...shared,
        body: { schema: editInput },
        responses: { 200: { description: 'The person', schema: personShape } },
        handle: (request) => this.#edit(request),
      }),
      route({
        method: 'delete',
        path: PERSON,
        summary: 'Remove a person; their sessions end',
        ...shared,
        responses: { 204: { description: 'They are removed' } },
        handle: async (request) => {
          const { name } = this.#named(request);
          await changeFile(this.#deps, (file) => removeAdmin({ file, name, isLastKept: true }));
          await this.#changed(request, name, { what: 'removed', description: `${name}: removed` });
          await this.#sessions.endOutdated(name, request.requestId, request.caller.name);
          return { status: 204 };
        },
      }),
    ];
  }

  async #add(request: ApiRequest<unknown, Add>) {
    const { role, domains = [] } = request.body;
    const { now, token, made } = this.#newLink();
    const added = {
      name: request.body.name,
      role,
      domains,
      now,
      link: { hash: linkHash(token), until: made.until },
    };
    const name = await changeFile(this.#deps, (file) =>
      addAdmin({ file, ...added, tokens: this.#deps.tokens }),
    );
    await this.#changed(request, name, { what: 'added', description: rightsText(this.#known(name)) });
    return { status: 201, body: { person: this.#view(this.#known(name)), link: made.view } };
  }

  async #link(request: ApiRequest<unknown, unknown>) {
    const { name, disabled } = this.#named(request);
    if (disabled) throw new StopgapError('conflict', `${name} is disabled: let them in again first`);
    const { token, made } = this.#newLink();
    const link = { hash: linkHash(token), until: made.until };
    await changeFile(this.#deps, (file) => setAdminLink({ file, name, link }));
    await this.#changed(request, name, { what: 'link', description: `${name}: a link to set a password` });
    return ok(made.view);
  }

  async #edit(request: ApiRequest<unknown, Edit>) {
    const { name, stamp } = this.#named(request);
    await changeFile(this.#deps, (file) => editAdmin({ file, name, edit: request.body }));
    const after = this.#known(name);
    if (after.stamp !== stamp) {
      await this.#changed(request, name, { what: 'changed', description: rightsText(after) });
      await this.#sessions.endOutdated(name, request.requestId, request.caller.name);
    }
    return ok(this.#view(after));
  }

  #newLink() {
    const { clock, publicUrl } = this.#deps;
    const [now, token] = [clock.now(), newLinkToken()];
    const until = now + LINK_LASTS;
    const link = `${publicUrl === undefined ? '' : `${publicUrl}/`}#/link/${token}`;
    return { now, token, made: { until, view: { link, until: formatInstant(until) } } };
  }

  #changed(
    { caller, requestId }: ApiRequest<unknown, unknown>,
    person: string,
    change: Pick<PersonChanged, 'what' | 'description'>,
  ): Promise<void> {
    const fact = { type: 'PersonChanged', data: { person, ...change } } as const;
    return this.#sessions.record(person, requestId, () => fact, caller.name);
  }

  /** @throws StopgapError `not-found` */
  #named({ params }: ApiRequest<unknown, unknown>): AdminRecord {
    return this.#known(normalizeAdmin(params['name']!));
  }

  #known(name: string): AdminRecord {
    const admin = this.#deps.admins().get(name);
    if (admin === undefined)
      throw new StopgapError('not-found', `there is no administrator ${name.slice(0, 100)}`);
    return admin;
  }

  #view(admin: AdminRecord): z.infer<typeof personShape> {
    const { name, role, domains, disabled, password, totp, passkeys, link, addedAt } = admin;
    const sessions = this.#sessions.of(name);
    const isLinked = link !== undefined && link.until > this.#deps.clock.now();
    const used = sessions.map((one) => this.#sessions.usedAt(one));
    return {
      name,
      role,
      domains: [...domains],
      disabled,
      hasPassword: password !== undefined,
      secondFactor: totp !== undefined,
      passkeys: passkeys.length,
      linkUntil: isLinked ? formatInstant(link.until) : null,
      addedAt: addedAt ?? null,
      sessions: sessions.length,
      usedAt: instantView(used.length === 0 ? undefined : Math.max(...used)),
    };
  }

  async #isWritable(): Promise<boolean> {
    const file = this.#deps.adminsFile?.path;
    if (file === undefined) return false;
    return access(path.dirname(file), constants.W_OK).then(
      () => true,
      () => false,
    );
  }
}

function rightsText({ name, role, domains, disabled }: AdminRecord): string {
  return `${name}: ${[role, ...domains, ...(disabled ? ['disabled'] : [])].join(', ')}`;
}
