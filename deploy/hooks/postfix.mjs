#!/usr/bin/env node
// Holds, releases and deletes mail in Postfix's queue for Stopgap (hooks.run); docs/run/mail-servers.md says how to install
// it. Needs root. The only argument, if any, is the configuration directory of a Postfix instance. May be called twice.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const instance = process.argv[2] === undefined ? [] : ['-c', process.argv[2]];
const run = (program, args, input = '') =>
  execFileSync(program, [...instance, ...args], {
    input,
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
    timeout: 50_000,
    killSignal: 'SIGKILL',
    stdio: ['pipe', 'pipe', 'pipe'],
  });

process.on('uncaughtException', ({ message }) => {
  console.error(message);
  process.exit(1);
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

/** What Postfix has recorded of a message, beside its text. Undefined where it has gone meanwhile. */
function recordsOf(id) {
  try {
    const records = new Map();
    // Only a line feed ends a record: a return path may have what a regular expression takes for the end of a line.
    for (const line of run('postcat', ['-qe', id]).split('\n')) {
      // From here on a value may have line feeds, and look like records: ORCPT, and the name that `sendmail -F` is given.
      if (/^(?:sender_fullname:|named_attribute: dsn_orig_rcpt=|\w*recipient:|\*\*\* MESSAGE )/.test(line))
        break;
      const [, name, value] = /^(?:named_attribute: (?=\w+=))?(\w+)(?:=|: )(.*)$/s.exec(line) ?? [];
      if (name !== undefined && !records.has(name)) records.set(name, value);
    }
    return records;
  } catch {
    return undefined;
  }
}

const settingOf = (name) => run('postconf', ['-hx', name]).trim();
/** How Postfix calls itself in a Received line. */
const mailName = settingOf('mail_name');

/** What a Received line says if it has Postfix's form. Its client may choose what is in comments, and what comes after the id. */
function written(field) {
  const comments = [];
  let [text, depth] = ['', 0];
  for (const part of field.split(/([()])/)) {
    if (part === '(' && depth++ === 0) {
      text += '()';
      comments.push('');
    } else if (part === ')' && depth > 0) depth--;
    else if (depth === 0) text += part;
    else comments[comments.length - 1] += part;
  }
  const form = /^Received: ((?:from \S+ (?:\(\) )*)?)by (\S+) \(\)(?: with \S+)? id (\w+)(?![^\s;])/;
  const [, from = '', by, id] = form.exec(text) ?? [];
  const [name, uid] = (comments[from.split('()').length - 1] ?? '').split(', from userid ');
  return id !== undefined && name === mailName ? { by, id, uid } : {};
}

/** The newest Received lines of a message. */
function receivedOf(id) {
  try {
    const fields = run('postcat', ['-qh', id])
      .replace(/\n[ \t]+/g, ' ')
      .split('\n');
    return fields.filter((field) => field.startsWith('Received: ')).slice(0, 5);
  } catch {
    return [];
  }
}

/** Whether that account handed a message in. An id may be used again by now: then another login stands there, or none. */
function isOwn(id) {
  const records = recordsOf(id);
  if (records === undefined) return false;
  const login = records.get('sasl_username');
  if (login !== undefined || records.has('client_address')) return (login ?? null) === account;
  // By `sendmail`: pickup wrote the first Received line. The follower of the log names its user so, with a host of its own.
  const [line = ''] = receivedOf(id);
  const { id: named, uid } = written(line);
  return uid === undefined || named !== id ? account === null : account?.startsWith(`uid-${uid}@`) === true;
}

/** What main.cf and the entries of master.cf set it to. */
function settingsOf(name) {
  const own = run('postconf', ['-Px'])
    .split('\n')
    .map((line) => /^\S+\/(\w+) = (.*)$/.exec(line) ?? []);
  const values = own.flatMap(([, set, value]) => (set === name ? [value.trim()] : []));
  return [settingOf(name), ...values].filter((value) => value !== '');
}

/** What another program prints of a name; nothing where it knows none. */
function linesOf(program, ...args) {
  try {
    return execFileSync(program, args, { encoding: 'utf8', timeout: 5000, stdio: 'pipe' }).trim().split('\n');
  } catch {
    return [];
  }
}

/** Where filters after the queue are, as far as main.cf and master.cf say: their addresses, and who they are on this machine. */
function placesOf(filters) {
  const places = { addresses: new Set(), uids: new Set() };
  for (const filter of new Set(filters)) {
    const [transport, ...rest] = filter.split(':');
    const command = run('postconf', ['-hF', `${transport}/unix/command`]);
    if (command.startsWith('pipe')) {
      const user = /\buser=([^\s:]+)/.exec(command)?.[1];
      for (const uid of user === undefined ? [] : linesOf('id', '-u', user)) places.uids.add(uid);
    } else {
      for (const next of rest.join(':').split(/[\s,]+/)) {
        const [, literal, name] =
          /^(?!unix:)(?:inet:)?(?:\[(?:ipv6:)?([^\]]+)\]|([^[\]:/]+))(?::\w+)?$/i.exec(next) ?? [];
        if ((literal ?? name) === undefined) continue;
        for (const line of linesOf('getent', 'ahosts', literal ?? name))
          places.addresses.add(line.split(/\s/, 1)[0]);
      }
    }
  }
  return places;
}

/**
 * What filters after the queue have given back: it has an id of its own and no login. XFORWARD names the first id, or the line of
 * before the filter. What is below that line a stranger may have written, and all below the newest where no filter was between.
 */
function filtered() {
  const filters = settingsOf('content_filter');
  if (filters.length === 0) return [];
  const { addresses, uids } = placesOf(filters);
  const names = new Set(settingsOf('myhostname'));
  const isBack = (records, uid) => {
    // It is still to go to a filter.
    if (records.has('content_filter')) return false;
    const peer = records.get('client_address');
    if (peer === undefined) return uids.has(uid);
    return /^127\.|^::1$/.test(peer) || peer === records.get('server_address') || addresses.has(peer);
  };
  const firstIdOf = (id, records) => {
    if (wanted.has(records.get('log_ident'))) return records.get('log_ident');
    const [newest = '', ...older] = receivedOf(id);
    const { id: named, uid } = written(newest);
    if (named !== id || !isBack(records, uid)) return undefined;
    // Filters may have lines of their own above ours.
    for (const line of older) {
      const { by, id: first } = written(line);
      if (names.has(by)) return wanted.has(first) ? first : undefined;
    }
    return undefined;
  };
  const ends = Date.now() + 20_000;
  const found = [];
  const others = queue.filter(
    ({ queue_id: id, queue_name: name }) => !wanted.has(id) && (name === 'hold' || action === 'hold-queue'),
  );
  others.sort((one, other) => other.arrival_time - one.arrival_time);
  for (const { queue_id: id } of others.slice(0, 1000)) {
    if (Date.now() > ends) break;
    const records = recordsOf(id);
    if (records === undefined || records.has('sasl_username')) continue;
    const first = firstIdOf(id, records);
    if (first !== undefined) found.push([id, first]);
  }
  return found;
}

/** What is to be acted on, by its id in the queue, each with the id that it is called by. */
const own = new Map([...wanted].filter((id) => queueOf.has(id) && isOwn(id)).map((id) => [id, id]));
if (own.size < wanted.size) for (const [id, first] of filtered()) own.set(id, first);

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
    // Where Postfix does not run now, it delivers them once it does.
    for (const id of held) runs('postqueue', '-i', id);
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
