import type { Command } from 'commander';
import { addUser, readUsers, removeUser, setPassword } from '../accounts/users.js';
import { configForChanges } from './client.js';
import type { ConfigOption } from './config-option.js';
import { configForFiles, withConfig } from './config-option.js';
import type { CliIo } from './io.js';
import { asJson, note, print, table } from './io.js';
import { readNewPassword } from './password-input.js';

interface PasswordOption extends ConfigOption {
  readonly passwordStdin?: true;
}

/** `stopgap user add|list|remove|passwd`: who may log in. */
export function userVerb(program: Command, io: CliIo): void {
  const user = program.command('user').description('who may log in to submit mail');
  const file = (options: ConfigOption): string => configForFiles(io, options).config.smtp.auth.users;
  const changed = async (options: ConfigOption): Promise<string> =>
    (await configForChanges(io, options)).smtp.auth.users;

  withPassword(user.command('add <name>').description('add a user')).action(
    async (name: string, options: PasswordOption) => {
      const users = await changed(options);
      const password = await readNewPassword(io, options.passwordStdin === true);
      const added = await addUser({ file: users, name, password, now: io.clock.now() });
      note(io, `added ${added} to ${users}`);
    },
  );

  withPassword(user.command('passwd <name>').description("change a user's password")).action(
    async (name: string, options: PasswordOption) => {
      const users = await changed(options);
      const password = await readNewPassword(io, options.passwordStdin === true);
      const normal = await setPassword({ file: users, name, password });
      note(io, `changed the password of ${normal} in ${users}`);
    },
  );

  withConfig(user.command('remove <name>').description('remove a user')).action(
    async (name: string, options: ConfigOption) => {
      const users = await changed(options);
      note(io, `removed ${await removeUser({ file: users, name })} from ${users}`);
    },
  );

  withConfig(user.command('list').description('list the users').option('--json', 'as JSON')).action(
    async (options: ConfigOption & { json?: true }) => {
      const users = [...(await readUsers(file(options))).values()];
      if (options.json === true) {
        const items = users.map(({ name, disabled, addedAt }) => ({
          name,
          disabled,
          addedAt: addedAt ?? null,
        }));
        print(io, asJson(items));
      } else if (users.length === 0) {
        note(io, 'no users yet: stopgap user add NAME');
      } else {
        print(
          io,
          table(users.map((one) => [one.name, one.disabled ? 'disabled' : 'enabled', one.addedAt ?? '-'])),
        );
      }
    },
  );
}

function withPassword(command: Command): Command {
  return withConfig(command).option('--password-stdin', 'read the password from standard input');
}
