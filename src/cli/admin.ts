import type { Command } from 'commander';
import { Option } from 'commander';
import type { AdminRecord } from '../accounts/admins.js';
import {
  addAdmin,
  normalizeAdmin,
  PEOPLE_ROLES,
  readAdmin,
  readAdmins,
  removeAdmin,
  removePasskeys,
  setAdminPassword,
  startSecondFactor,
} from '../accounts/admins.js';
import { readTokens } from '../accounts/tokens.js';
import { otpauthUri } from '../api/second-factor.js';
import { StopgapError } from '../kernel/errors.js';
import { configForChanges } from './client.js';
import type { CliIo } from './io.js';
import { asJson, done, note, print, table } from './io.js';
import type { ConfigOption } from './options.js';
import { configForFiles, gathered, ownDomains, withConfig } from './options.js';
import type { PasswordOption } from './user.js';
import { readNewPassword, withPassword } from './user.js';

interface Added extends PasswordOption {
  readonly role: string;
  readonly domain: readonly string[];
}

/** `stopgap admin add|passwd|totp|passkeys|list|remove`: the people who may sign in to administrate. */
export function adminVerb(program: Command, io: CliIo): void {
  const admin = program.command('admin').description('the people who may sign in to administrate');
  const changed = async (options: ConfigOption): Promise<string> =>
    (await configForChanges(io, options)).api.admins;
  const read = async (options: ConfigOption): Promise<string> =>
    (await configForFiles(io, options)).config.api.admins;
  /** The device of this person may be lost. Its finder must not stay in by a passkey. */
  const leftPasskeys = async (file: string, name: string): Promise<number> => {
    const { name: normal, passkeys } = await readAdmin(file, name);
    const many = passkeys.length === 1 ? 'a passkey' : `${passkeys.length} passkeys`;
    const remedy = `stopgap admin passkeys ${normal} --remove`;
    if (passkeys.length > 0)
      note(io, `${normal} goes on signing in by ${many}, without password and code: ${remedy}`);
    return passkeys.length;
  };

  withPassword(admin.command('add <name>').description('add a person'))
    .addOption(
      new Option('--role <role>', 'what they may do').choices([...PEOPLE_ROLES]).makeOptionMandatory(),
    )
    .option('--domain <domain>', 'of the role domain: one that is theirs; may be repeated', gathered, [])
    .action(async (name: string, options: Added) => {
      const { role } = options;
      const domains = ownDomains(role, options.domain);
      const { admins: file, tokens: tokensFile } = (await configForChanges(io, options)).api;
      const tokens = await readTokens(tokensFile);
      const password = await readNewPassword(io, options.passwordStdin === true);
      const added = await addAdmin({ file, name, role, domains, password, tokens, now: io.clock.now() });
      done(io, options, { added, role, domains, file }, `added ${added} to ${file}`);
    });

  withPassword(admin.command('passwd <name>').description('change a password; their sessions end')).action(
    async (name: string, options: PasswordOption) => {
      const file = await changed(options);
      const password = await readNewPassword(io, options.passwordStdin === true);
      const normal = await setAdminPassword({ file, name, password });
      const passkeys = await leftPasskeys(file, normal);
      done(io, options, { changed: normal, passkeys, file }, `changed the password of ${normal} in ${file}`);
    },
  );

  withConfig(
    admin
      .command('totp <name>')
      .description('ask for time-based codes, with a new secret; their sessions end')
      .option('--json', 'as JSON'),
  ).action(async (name: string, options: ConfigOption & { json?: true }) => {
    const file = await changed(options);
    const { secret, recovery } = await startSecondFactor({ file, name });
    const uri = otpauthUri(name, secret);
    const passkeys = await leftPasskeys(file, name);
    print(io, options.json === true ? asJson({ uri, recovery, passkeys }) : [uri, ...recovery].join('\n'));
    note(io, 'Give the first line to an authenticator; each of the others is a code that works once.');
    note(io, `They are shown only now; ${file} keeps the secret, and hashes of the codes.`);
  });

  withConfig(
    admin
      .command('passkeys <name>')
      .description('list the passkeys of a person, or remove all of them')
      .option('--remove', 'remove all, as when a device is lost; their sessions end')
      .option('--json', 'as JSON'),
  ).action(async (name: string, options: ConfigOption & { json?: true; remove?: true }) => {
    const normal = normalizeAdmin(name);
    const none = `${normal} has no passkeys`;
    if (options.remove === true) {
      const file = await changed(options);
      const { length: removed } = await removePasskeys({ file, name });
      const many = removed === 1 ? 'a passkey' : `${removed} passkeys`;
      const text = removed === 0 ? `${none}; the sessions end` : `removed ${many} of ${normal} from ${file}`;
      done(io, options, { changed: normal, removed, file }, text);
      return;
    }
    const { passkeys } = await readAdmin(await read(options), name);
    if (options.json === true) {
      print(io, asJson(passkeys.map(({ id, name: called, addedAt }) => ({ id, name: called, addedAt }))));
    } else if (passkeys.length === 0) {
      note(io, none);
    } else {
      const rows = passkeys.map(({ id, name: called, addedAt }) => [called, addedAt, id]);
      print(io, table([['PASSKEY', 'ADDED', 'ID'], ...rows]));
    }
  });

  withConfig(
    admin
      .command('remove <name>')
      .description('remove a person; their sessions end')
      .option('--yes', 'also the last administrator')
      .option('--json', 'as JSON'),
  ).action(async (name: string, options: ConfigOption & { json?: true; yes?: true }) => {
    const file = await changed(options);
    const removed = await removeAdmin({ file, name, isLastKept: options.yes !== true }).catch(
      (thrown: unknown) => {
        if (!(thrown instanceof StopgapError) || thrown.code !== 'conflict') throw thrown;
        throw new StopgapError('conflict', `${thrown.message}, or say --yes`);
      },
    );
    done(io, options, { removed, file }, `removed ${removed} from ${file}`);
  });

  withConfig(admin.command('list').description('list the people').option('--json', 'as JSON')).action(
    async (options: ConfigOption & { json?: true }) => {
      const people = [...(await readAdmins(await read(options))).values()];
      if (options.json === true) {
        const items = people.map(({ name, role, domains, totp, passkeys, addedAt, disabled }) => ({
          name,
          role,
          domains,
          secondFactor: totp !== undefined,
          passkeys: passkeys.length,
          addedAt: addedAt ?? null,
          disabled,
        }));
        print(io, asJson(items));
      } else if (people.length === 0) {
        note(io, 'nobody yet: stopgap admin add NAME --role ROLE');
      } else {
        const means = ({ disabled, password, totp, passkeys }: AdminRecord): string => {
          if (disabled) return 'disabled';
          if (password === undefined) return 'link, once';
          const other = passkeys.length === 0 ? '' : ', or passkey';
          return `${totp === undefined ? 'password' : 'password and code'}${other}`;
        };
        const rows = people.map((one) => [
          one.name,
          one.role,
          means(one),
          one.addedAt ?? '-',
          one.domains.join(' ') || '-',
        ]);
        print(io, table([['NAME', 'ROLE', 'SIGNS IN BY', 'ADDED', 'DOMAINS'], ...rows]));
      }
    },
  );
}
