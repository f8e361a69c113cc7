#!/usr/bin/env node
// Holds, releases and deletes mail in Postfix's queue for Stopgap (hooks.run); docs/run/mail-servers.md says how to install
// it. Needs root. The only argument, if any, is the configuration directory of a Postfix instance. May be called twice.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const instance = process.argv[2] === undefined ? [] : ['-c', process.argv[2]];
const run = (program, args, input = '') =>
  execFileSync(program, [...instance, ...args], {
    ...{ input, encoding: 'utf8', maxBuffer: 2 ** 30, timeout: 50_000, killSignal: 'SIGKILL' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });

const { action, account, queueIds, again } = JSON.parse(readFileSync(0, 'utf8'));
const wanted = new Set(queueIds.filter((id) => /^[A-Za-z0-9]{5,32}$/.test(id)));

/** In which queue each of them is; what is in none has gone. */
const queueOf = new Map();
for (const line of run('postqueue', ['-j']).split('\n')) {
  if (line === '') continue;
  const { queue_id: id, queue_name: name } = JSON.parse(line);
  if (wanted.has(id)) queueOf.set(id, name);
}

/** Whether that account handed a message in. An id may be used again by now: then another login stands there, or none. */
function isOwn(id) {
  try {
    // Only a line feed ends a record: a return path may have what a regular expression takes for the end of a line.
    const lines = run('postcat', ['-qeh', id]).split('\n');
    const begin = lines.findIndex((line) => line.startsWith('*** MESSAGE CONTENTS '));
    const attribute = (name) =>
      lines.slice(0, begin).find((line) => line.startsWith(`named_attribute: ${name}=`));
    const login = attribute('sasl_username');
    if (login !== undefined || attribute('client_address') !== undefined)
      return (login?.slice(login.indexOf('=') + 1) ?? null) === account;
    // By `sendmail`: pickup wrote the first Received line. The follower of the log names its user so, with a host of its own.
    const received = lines.slice(begin).find((line) => line.startsWith('Received: '));
    const uid = /^Received: by \S+ \(Postfix, from userid (\d+)\)$/.exec(received ?? '')?.[1];
    return uid === undefined ? account === null : account?.startsWith(`uid-${uid}@`) === true;
  } catch {
    return false; // it has gone meanwhile
  }
}

const own = [...queueOf.keys()].filter(isOwn);
const within = (...names) => own.filter((id) => names.includes(queueOf.get(id)));
const act = (option, ids, ...queues) => {
  if (ids.length > 0) run('postsuper', [option, '-', ...queues], `${ids.join('\n')}\n`);
};
const tell = (word, ids) => ids.forEach((id) => console.log(`${word} ${id}`));

const held = within('hold');
switch (action) {
  case 'hold-queue': {
    // What is being delivered (active) is left alone: it could arrive, and once more after a release.
    const waiting = within('deferred', 'incoming');
    act('-h', waiting, 'deferred', 'incoming');
    const there = new Set();
    for (const line of run('postqueue', ['-j']).split('\n'))
      if (line.includes('"hold"')) there.add(JSON.parse(line).queue_id);
    // What was on hold before is somebody else's, such as a quarantine, unless an earlier call may have put it there.
    const ours = again === true ? own : waiting;
    tell(
      'held',
      ours.filter((id) => there.has(id)),
    );
    break;
  }
  case 'release':
    act('-H', held, 'hold');
    for (const id of held) run('postqueue', ['-i', id]);
    tell('released', held);
    break;
  case 'delete':
    act('-d', held, 'hold');
    tell('deleted', held);
    break;
  default:
    throw new Error(`unknown action ${action}`);
}
console.log('end');
