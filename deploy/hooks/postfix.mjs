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

const inQueue = () =>
  run('postqueue', ['-j'])
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
const queue = inQueue();
const queueOf = new Map(queue.map(({ queue_id: id, queue_name: name }) => [id, name]));

/** The envelope of a message, and its newest Received lines, each as one. Undefined where it has gone meanwhile. */
function read(id) {
  try {
    // Only a line feed ends a record: a return path may have what a regular expression takes for the end of a line.
    const lines = run('postcat', ['-qeh', id]).split('\n');
    const begin = lines.findIndex((line) => line.startsWith('*** MESSAGE CONTENTS '));
    const records = lines.slice(0, begin).map((line) => /^named_attribute: (\w+)=(.*)$/s.exec(line));
    const attributes = new Map(
      records.flatMap((record) => (record === null ? [] : [record.slice(1)])).reverse(),
    );
    const fields = lines
      .slice(begin + 1)
      .join('\n')
      .replace(/\n[ \t]+/g, ' ')
      .split('\n');
    const received = fields.filter((field) => field.startsWith('Received: ')).slice(0, 5);
    return { attributes, received };
  } catch {
    return undefined;
  }
}

/** Whether that account handed a message in. An id may be used again by now: then another login stands there, or none. */
function isOwn(id) {
  const message = read(id);
  if (message === undefined) return false;
  const { attributes, received } = message;
  const login = attributes.get('sasl_username');
  if (login !== undefined || attributes.has('client_address')) return (login ?? null) === account;
  // By `sendmail`: pickup wrote the first Received line. The follower of the log names its user so, with a host of its own.
  const uid = /^Received: by \S+ \(Postfix, from userid (\d+)\) id /.exec(received[0] ?? '')?.[1];
  return uid === undefined ? account === null : account?.startsWith(`uid-${uid}@`) === true;
}

/** Whether mail goes through a filter after the queue, as far as main.cf and master.cf say. */
const isFiltered = () =>
  run('postconf', ['-h', 'content_filter']).trim() !== '' ||
  /\/content_filter = \S/.test(run('postconf', ['-P']));

/** What such a filter has given back: it has an id of its own and no login. XFORWARD, or the line of before the filter, names the first id. */
function filtered() {
  const ends = Date.now() + 20_000;
  const found = [];
  const others = queue.filter(
    ({ queue_id: id, queue_name: name }) => !wanted.has(id) && (name === 'hold' || action === 'hold-queue'),
  );
  others.sort((one, other) => other.arrival_time - one.arrival_time);
  for (const { queue_id: id } of others.slice(0, 1000)) {
    if (Date.now() > ends) break;
    const { attributes, received = [] } = read(id) ?? {};
    if (attributes?.has('sasl_username') !== false) continue;
    const ids = received.map((line) => / by \S+ \([^)]*\)(?: with \S+)? id (\w+)/.exec(line)?.[1]);
    const first = [attributes.get('log_ident'), ...ids].find((one) => wanted.has(one));
    if (first !== undefined) found.push([id, first]);
  }
  return found;
}

/** What is to be acted on, by its id in the queue, each with the id that it is called by. */
const own = new Map([...wanted].filter((id) => queueOf.has(id) && isOwn(id)).map((id) => [id, id]));
if (own.size < wanted.size && isFiltered()) for (const [id, first] of filtered()) own.set(id, first);

const within = (...names) => [...own.keys()].filter((id) => names.includes(queueOf.get(id)));
const act = (option, ids, ...queues) => {
  if (ids.length > 0) run('postsuper', [option, '-', ...queues], `${ids.join('\n')}\n`);
};
const tell = (word, ids) =>
  new Set(ids.map((id) => own.get(id))).forEach((id) => console.log(`${word} ${id}`));

const runs = (program, ...args) => {
  try {
    run(program, args);
    return true;
  } catch {
    return false;
  }
};
/** Whether a reload finds files that it can read: else it would end Postfix. */
const canReload = () => runs('postconf', '-n') && runs('postconf', '-M');
/** Has the queue manager forget what it was about to deliver: of a message that came back while it knew of it, it would lose all. */
function forget() {
  if (!runs('postfix', 'status')) return;
  run('postfix', ['reload']);
  // It ends once it is told so.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
}

const held = within('hold');
switch (action) {
  case 'hold-queue': {
    const waiting = within('deferred', 'incoming', 'active');
    act('-h', waiting, 'deferred', 'incoming');
    const idsIn = (name) =>
      new Set(inQueue().flatMap((each) => (each.queue_name === name ? [each.queue_id] : [])));
    // Of what is being delivered at this moment Postfix marks each recipient who has it, and sends to none of them again.
    const inActive = idsIn('active');
    const active = waiting.filter((id) => inActive.has(id));
    if (active.length > 0 && canReload()) {
      act('-h', active, 'active');
      forget();
    } else if (again === true && held.length > 0) forget();
    const there = idsIn('hold');
    // What was on hold before is somebody else's, such as a quarantine, unless an earlier call may have put it there.
    const ours = again === true ? [...own.keys()] : waiting;
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
