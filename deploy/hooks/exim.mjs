#!/usr/bin/env node
// Freezes, releases and removes mail in Exim's queue for Stopgap (hooks.run); docs/run/mail-servers.md says how to install
// it. Needs a user whom Exim trusts as an administrator. Arguments, if any, go to Exim (-C FILE). May be called twice.
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

const options = process.argv.slice(2);
const run = (args, encoding = 'utf8') =>
  execFileSync('exim', [...options, ...args], {
    encoding,
    maxBuffer: 2 ** 26,
    timeout: 50_000,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'pipe'],
  });

process.on('uncaughtException', ({ message }) => {
  console.error(message);
  process.exit(1);
});
run(['-bpc']); // fails where Exim does not run, as with a fault in its configuration

const { action, account, queueIds, again } = JSON.parse(readFileSync(0, 'utf8'));

/**
 * What the queue holds of a message: who handed it in, by the name under which the recipe asks (the login, unless the ACL gave
 * another one), and whether it is frozen. Undefined where it has gone.
 */
function found(id) {
  if (!/^[A-Za-z0-9]{6}-[A-Za-z0-9]{6,11}-[A-Za-z0-9]{2,4}$/.test(id)) return undefined;
  try {
    let [named, login, isFrozen, hasBegun] = [undefined, undefined, false, false];
    const text = run(['-Mvh', id], 'latin1'); // lengths are in bytes
    // Only a line feed ends a line: a return path may have what a regular expression takes for one.
    for (let at = 0, end; (end = text.indexOf('\n', at)) > at; at = end + 1) {
      const line = text.slice(at, end);
      // The recipients follow. One of them may look like such a line.
      if (hasBegun && !line.startsWith('-')) break;
      hasBegun ||= line.startsWith('-');
      // A value that came from outside has one dash more.
      const [, name, value] = /^-{1,2}(?:\([^)]*\))?(auth_id|acl[cm] \S+) (.*)$/s.exec(line) ?? [];
      if (name === 'auth_id') login ??= value;
      // The value of a variable follows. It may have lines of its own.
      else if (name !== undefined) end += Number(value) + 1;
      if (name === 'aclm _stopgap_login') named ??= text.slice(end - Number(value), end);
      isFrozen ||= /^-frozen\b/.test(line);
    }
    const account = named ?? login;
    return { id, login: account === undefined ? null : Buffer.from(account, 'latin1').toString(), isFrozen };
  } catch (error) {
    const said = `${error.stdout}${error.stderr}`;
    if (/No such file/i.test(said)) return undefined;
    // It is there, or may be: an answer that it is done would leave it where it is.
    throw new Error(`${error.message.trim()} ${error.stdout}`, { cause: error });
  }
}

found('000000-000000-00'); // fails where messages may not be read, also if none is asked for

/** An id may be used again by now: then another login stands there, or none. */
const own = queueIds.map(found).filter((message) => message?.login === account);
const frozen = own.filter(({ isFrozen }) => isFrozen).map(({ id }) => id);
const tell = (word, ids) => ids.forEach((id) => console.log(`${word} ${id}`));
/** One by one: a message that is being delivered is locked, and says so by the exit code. */
const each = (ids, option) =>
  ids.filter((id) => {
    try {
      run([option, id]);
      return true;
    } catch {
      return false;
    }
  });

switch (action) {
  case 'hold-queue': {
    const waiting = own.filter(({ isFrozen }) => !isFrozen).map(({ id }) => id);
    each(waiting, '-Mf');
    // What was frozen before is somebody else's, or Exim's own doing, unless an earlier call may have frozen it.
    const ours = again === true ? own.map(({ id }) => id) : waiting;
    tell(
      'held',
      ours.map(found).flatMap((message) => (message?.isFrozen === true ? [message.id] : [])),
    );
    break;
  }
  case 'release': {
    const thawed = each(frozen, '-Mt');
    // It tries to deliver before it returns: that may take long. If it cannot be started, Exim's next queue run delivers.
    if (thawed.length > 0)
      spawn('exim', [...options, '-M', ...thawed], { detached: true, stdio: 'ignore' })
        .on('error', () => undefined)
        .unref();
    tell('released', thawed);
    break;
  }
  case 'delete':
    tell('deleted', each(frozen, '-Mrm'));
    break;
  default:
    throw new Error(`unknown action ${action}`);
}
console.log('end');
