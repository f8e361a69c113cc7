#!/usr/bin/env node
// Freezes, releases and removes mail in Exim's queue for Stopgap (hooks.run); docs/run/mail-servers.md says how to install
// it. Needs a user whom Exim trusts as an administrator. Arguments, if any, go to Exim (-C FILE). May be called twice.
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

const options = process.argv.slice(2);
const run = (args) =>
  execFileSync('exim', [...options, ...args], {
    ...{ encoding: 'utf8', maxBuffer: 2 ** 26, timeout: 50_000, killSignal: 'SIGKILL' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });

const { action, account, queueIds } = JSON.parse(readFileSync(0, 'utf8'));

/** What the queue holds of a message: who handed it in, and whether it is frozen. Undefined where it has gone. */
function found(id) {
  if (!/^[A-Za-z0-9]{6}-[A-Za-z0-9]{6,11}-[A-Za-z0-9]{2,4}$/.test(id)) return undefined;
  try {
    const [envelope] = run(['-Mvh', id]).split('\n\n', 1);
    // Only a line feed ends a line: a return path may have what a regular expression takes for one.
    const lines = envelope.split('\n');
    // A value that came from outside has one dash more.
    const [login = null] = lines.flatMap(
      (line) => /^-{1,2}(?:\([^)]*\))?auth_id (.*)$/s.exec(line)?.[1] ?? [],
    );
    return { id, login, isFrozen: lines.some((line) => /^-frozen\b/.test(line)) };
  } catch {
    return undefined;
  }
}

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
    tell(
      'held',
      own.map(({ id }) => found(id)).flatMap((message) => (message?.isFrozen === true ? [message.id] : [])),
    );
    break;
  }
  case 'release': {
    const thawed = each(frozen, '-Mt');
    // It tries to deliver before it returns: that may take long.
    if (thawed.length > 0)
      spawn('exim', [...options, '-M', ...thawed], { detached: true, stdio: 'ignore' }).unref();
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
