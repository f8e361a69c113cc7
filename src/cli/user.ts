import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import { parsePasswdFile } from '../accounts/passwd-file.js';
import { LONGEST_PASSWORD } from '../accounts/passwords.js';
import { fileFault } from '../accounts/private-file.js';
import { ConfigError, firstProblems } from '../accounts/problems.js';
import { addUser, importUsers, readUsers, removeUser, setPassword } from '../accounts/users.js';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import { configForChanges } from './client.js';
import type { CliIo } from './io.js';
import { done, asJson, note, print, table, warn } from './io.js';
import type { ConfigOption } from './options.js';
import { configForFiles, withConfig } from './options.js';

export interface PasswordOption extends ConfigOption {
  readonly json?: true;
  readonly passwordStdin?: true;
}

/** `stopgap user add|import|list|remove|passwd`: who may log in. */
export function userVerb(program: Command, io: CliIo): void {
  const user = program.command('user').description('who may log in to submit mail');
  const file = async (options: ConfigOption): Promise<string> =>
    (await configForFiles(io, options)).config.smtp.auth.users;
  const changed = async (options: ConfigOption): Promise<string> => {
    const { backend, users } = (await configForChanges(io, options)).smtp.auth;
    if (backend !== 'file') warn(io, [`smtp.auth.backend is ${backend}: nobody asks ${users}`]);
    return users;
  };

  const newPassword = async ({ passwordStdin }: PasswordOption): Promise<string> => {
    const password = await readNewPassword(io, passwordStdin === true);
    if (password.length < SHORT)
      note(io, `stopgap: note: a password of fewer than ${SHORT} characters is soon guessed`);
    return password;
  };

  withPassword(user.command('add <name>').description('add a user')).action(
    async (name: string, options: PasswordOption) => {
      const users = await changed(options);
      const password = await newPassword(options);
      const added = await addUser({ file: users, name, password, now: io.clock.now() });
      done(io, options, { added, file: users }, `added ${added} to ${users}`);
    },
  );

  withPassword(user.command('passwd <name>').description("change a user's password")).action(
    async (name: string, options: PasswordOption) => {
      const users = await changed(options);
      const password = await newPassword(options);
      const normal = await setPassword({ file: users, name, password });
      done(io, options, { changed: normal, file: users }, `changed the password of ${normal} in ${users}`);
    },
  );

  withConfig(user.command('remove <name>').description('remove a user').option('--json', 'as JSON')).action(
    async (name: string, options: ConfigOption & { json?: true }) => {
      const users = await changed(options);
      const removed = await removeUser({ file: users, name });
      done(io, options, { removed, file: users }, `removed ${removed} from ${users}`);
    },
  );

  withConfig(
    user
      .command('import <file>')
      .description('add the users of another server, with the passwords that they have'),
  )
    .addOption(
      new Option('--format <format>', "passwd-file: Dovecot's, user:{SCHEME}hash:…")
        .choices(['passwd-file'])
        .default('passwd-file'),
    )
    .option('--skip', 'leave out what cannot be taken over (otherwise nothing is added then)')
    .option('--json', 'as JSON')
    .action(async (named: string, options: ConfigOption & { readonly skip?: true; readonly json?: true }) => {
      const users = await changed(options);
      const read = parsePasswdFile(bytesOf(io, named), named);
      const faults = firstProblems(read.faults, named);
      if (faults.length > 0 && options.skip !== true)
        throw new ConfigError(['nothing was added; --skip adds the other users', ...faults]);
      warn(io, faults);
      const added = await importUsers({ file: users, users: read.users, now: io.clock.now() });
      const there = read.users.length - added;
      const left = read.faults.length;
      done(
        io,
        options,
        { added, known: there, leftOut: left, file: users },
        `added ${added} to ${users}${there > 0 ? `; ${there} were there already` : ''}${left > 0 ? `; ${left} left out` : ''}`,
      );
    });

  withConfig(user.command('list').description('list the users').option('--json', 'as JSON')).action(
    async (options: ConfigOption & { json?: true }) => {
      const users = [...(await readUsers(await file(options))).values()];
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
        const rows = users.map((one) => [
          one.name,
          one.disabled ? 'disabled' : 'enabled',
          one.addedAt ?? '-',
        ]);
        print(io, table([['NAME', 'STATE', 'ADDED'], ...rows]));
      }
    },
  );
}

/** @throws InvalidInput */
function bytesOf(io: CliIo, named: string): Buffer {
  const file = path.resolve(io.cwd, named);
  try {
    return readFileSync(file);
  } catch (thrown) {
    throw new InvalidInput('file', `${named} ${fileFault(thrown, 'name a file of users')}`);
  }
}

export function withPassword(command: Command): Command {
  return withConfig(command)
    .option('--password-stdin', 'read the password from standard input')
    .option('--json', 'as JSON');
}

/** More bytes than the longest password has. A longer input is some other file. */
const MOST_INPUT = 8 * LONGEST_PASSWORD;
/** NIST SP 800-63B. A shorter password of a user is noted, not refused: it may be in a mail program already. */
const SHORT = 8;

/**
 * Gets a new password: from standard input if that was asked for, else from the terminal, twice and unseen. It is never
 * taken from an argument, which every user of the machine could read.
 *
 * @throws InvalidInput, StopgapError if there is none to be had
 */
export async function readNewPassword(io: CliIo, fromStdin: boolean): Promise<string> {
  const password = fromStdin ? await readAll(io.stdin) : await askTwice(io);
  if (password === '') throw new InvalidInput('password', 'the password is empty');
  return password;
}

/** All of standard input, without the line end that echo and editors add. */
async function readAll(stdin: NodeJS.ReadStream): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin) {
    const buffer = typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Buffer);
    bytes += buffer.length;
    if (bytes > MOST_INPUT) throw new InvalidInput('password', 'standard input is too long for a password');
    chunks.push(buffer);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new InvalidInput('password', 'the password on standard input is not UTF-8');
  }
  const password = text.replace(/\r?\n$/, '');
  if (/[\r\n]/.test(password)) throw new InvalidInput('password', 'standard input has more than one line');
  return password;
}

async function askTwice(io: CliIo): Promise<string> {
  if (!io.stdin.isTTY) {
    throw new StopgapError(
      'invalid-input',
      'there is no terminal to ask at: give the password with --password-stdin',
    );
  }
  // Set before the prompt and for both questions, so that keys typed ahead are not echoed either.
  io.stdin.setRawMode(true);
  try {
    const password = await askHidden(io, 'Password: ');
    const again = await askHidden(io, 'Again: ');
    if (password !== again) throw new InvalidInput('password', 'the two passwords differ');
    return password;
  } finally {
    io.stdin.setRawMode(false);
    io.stdin.pause();
  }
}

/** Asks for a line; the terminal is raw, so nothing is echoed. Ctrl-C and a closed terminal give up. */
function askHidden(io: CliIo, prompt: string): Promise<string> {
  const { stdin, stderr } = io;
  return new Promise((resolve, reject) => {
    const decoder = new TextDecoder();
    let line: string[] = [];
    const finish = (end: () => void): void => {
      stdin.off('data', take).off('end', closed);
      stdin.pause();
      stderr.write('\n');
      end();
    };
    const giveUp = (): void =>
      finish(() => reject(new StopgapError('invalid-input', 'no password was given')));
    const closed = (): void => giveUp();
    const take = (chunk: Buffer): void => {
      const characters = [...decoder.decode(chunk, { stream: true })];
      for (const [index, character] of characters.entries()) {
        if (character === '\r' || character === '\n') {
          const rest = characters.slice(index + 1).join('');
          // Characters after the line end belong to the next question.
          finish(() => resolve(line.join('')));
          if (rest !== '') stdin.unshift(Buffer.from(rest));
          return;
        }
        if (character === '\u0003' || character === '\u0004') return giveUp();
        if (character === '\u007f' || character === '\b') line.pop();
        else if (character === '\u0015') line = [];
        else line.push(character);
      }
    };
    stderr.write(prompt);
    stdin.on('data', take).on('end', closed);
    stdin.resume();
  });
}
