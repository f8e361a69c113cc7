import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { statSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { relaysOf } from '../../config/schema.js';
import { messageOf } from '../../kernel/errors.js';
import { formatDuration, formatInstant, SECOND } from '../../kernel/time.js';
import { libraryFault } from '../../store/sqlite/native.js';
import { ownPackage } from '../version.js';
import type { Findings } from './findings.js';
import type { World } from './world.js';
import { nearestThere } from './world.js';

/** `>=20.19` in numbers. */
const NEEDED = /^>=(\d+)\.(\d+)/.exec(ownPackage().engines.node)!.slice(1).map(Number) as [number, number];

export async function checkNode(findings: Findings): Promise<void> {
  const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
  const isOld = major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1]);
  if (isOld) findings.problem(`Node.js ${process.version} is too old`, `use ${NEEDED.join('.')} or newer`);
  else findings.ok(`Node.js ${process.version} on ${process.platform} ${process.arch}`);
  try {
    const { default: Database } = await import('better-sqlite3');
    const db = new Database(':memory:');
    findings.ok(`SQLite ${String(db.prepare('SELECT sqlite_version()').pluck().get())}`);
    db.close();
    const fault = libraryFault();
    if (fault !== undefined) findings.problem(fault.detail, fault.remedy);
  } catch (error) {
    const why = messageOf(error).split('\n')[0];
    findings.problem(`SQLite cannot be loaded (${why})`, 'install with npm ci for this Node.js and machine');
  }
}

/** Bytes below which there is little, and too little. */
const LITTLE = 1e9;
const TOO_LITTLE = 1e8;

/** Free space where Stopgap writes: one finding for each file system. */
export async function checkDisk(findings: Findings, { loaded }: World): Promise<void> {
  const { config } = loaded;
  const places: [what: string, place: string][] = [['data', config.data]];
  if (config.roles.includes('smtp')) {
    places.push(['spool', path.join(config.data, 'spool')]);
    if (config.store.kind !== 'sqlite') places.push(['outbox', config.outbox.file]);
    for (const { relay } of relaysOf(config))
      if ('maildir' in relay.target) places.push(['mail', relay.target.maildir]);
  }
  if (config.log.file !== undefined) places.push(['log', config.log.file]);
  const devices = new Map<number, { names: string[]; place: string }>();
  for (const [name, place] of places) {
    const there = nearestThere(place);
    const { dev } = statSync(there);
    const device = devices.get(dev) ?? { names: [], place: there };
    device.names.push(name);
    devices.set(dev, device);
  }
  for (const { names, place } of devices.values()) {
    const { bavail, blocks, bsize } = await statfs(place);
    const [free, all] = [bavail * bsize, blocks * bsize];
    const text = `${names.join(', ')} in ${place}: ${gigabytes(free)} of ${gigabytes(all)} free`;
    const remedy = 'free some, or name another directory in data: on a full disk mail is put off';
    if (free < TOO_LITTLE) findings.problem(text, remedy);
    else if (free < LITTLE) findings.warning(text, remedy);
    else findings.ok(text);
  }
}

function gigabytes(bytes: number): string {
  return bytes < LITTLE ? `${Math.floor(bytes / 1e6)} MB` : `${Math.floor(bytes / 1e9)} GB`;
}

/** Clocks are seldom nearer than this to each other. */
const TOLERANCE = 2 * SECOND;

/** Whether the clock can be right: blocks end by it. */
export async function checkClock(findings: Findings, { clock, store }: World): Promise<void> {
  const now = clock.now();
  const last = store?.lastRecordedAt;
  if (last === undefined) {
    findings.ok(`it is ${formatInstant(now)} here; no event to compare it with was read`);
  } else if (last > now + TOLERANCE) {
    findings.problem(
      `the last event was written at ${formatInstant(last)}, ${formatDuration(last - now)} from now`,
      'set the clock, and keep it by NTP: blocks end later by as much as it was set back',
    );
  } else {
    findings.ok(`it is ${formatInstant(now)} here, after the last event in the store`);
  }
  await checkSynchronised(findings);
}

async function checkSynchronised(findings: Findings): Promise<void> {
  let answer: string;
  try {
    const args = ['show', '--property=NTPSynchronized', '--value'];
    ({ stdout: answer } = await promisify(execFile)('timedatectl', args, { timeout: 2 * SECOND }));
  } catch {
    // There is none, or nothing behind it: both are usual in containers, where the clock is the host's.
    findings.notTried('whether it is kept by NTP: timedatectl does not say');
    return;
  }
  if (answer.trim() === 'yes') findings.ok('it is kept by NTP');
  else findings.warning('it is not kept by NTP', 'timedatectl set-ntp true, or run chrony');
}
