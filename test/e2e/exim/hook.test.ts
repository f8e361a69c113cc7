import assert from 'node:assert/strict';
import type { SpawnSyncReturns } from 'node:child_process';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { HookAction } from '../../../src/blocks/events.js';
import { eventually } from '../../support/smtp/eventually.js';

const HOOK = path.resolve('deploy/hooks/exim.mjs');
/** Where it is installed, and where it may be unpacked beside another mail server. */
const PLACES = ['/usr/sbin/exim4', '/usr/local/lib/stopgap-tests/exim/usr/sbin/exim4'];
const EXIM = PLACES.find((place) => existsSync(place));

function missing(): string | undefined {
  if (EXIM === undefined) return 'no Exim is installed';
  return process.getuid?.() === 0 ? undefined : 'Exim can be started by root only';
}

/** An Exim that only queues, in a directory of its own. */
class Queue {
  private constructor(readonly dir: string) {}

  static async make(t: TestContext): Promise<Queue> {
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-exim-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    await chmod(dir, 0o755);
    for (const name of ['spool', 'log', 'bin', 'mail']) {
      await mkdir(path.join(dir, name));
      await chmod(path.join(dir, name), 0o777);
    }
    await symlink(EXIM!, path.join(dir, 'bin', 'exim'));
    await writeFile(path.join(dir, 'conf'), configuration(dir));
    return new Queue(dir);
  }

  exim(args: readonly string[], input = ''): string {
    const options = ['-C', path.join(this.dir, 'conf'), ...args];
    const { status, stdout, stderr } = spawnSync(EXIM!, options, { input, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return stdout;
  }

  /** Hands a message in, and gives its id. */
  send(login: string | undefined, to: string, from = 'a@example.com'): string {
    const auth = Buffer.from(`\0${login ?? ''}\0x`).toString('base64');
    const dialogue = [
      'EHLO x',
      ...(login === undefined ? [] : [`AUTH PLAIN ${auth}`]),
      `MAIL FROM:<${from}>`,
      // What looks like a line of the envelope stands below it.
      `RCPT TO:<${to}>`,
      'DATA',
      'X: 1',
      '--auth_id bob@example.com',
      '',
      'Hello',
      '.',
      'QUIT',
      '',
    ];
    return /id=(\S+)/.exec(this.exim(['-bs'], dialogue.join('\r\n')))![1]!;
  }

  /** As a program of this machine does with `sendmail`; gives the id. `login` is what the ACL names it. */
  handIn(to: string, login: string, before = ''): string {
    const known = new Set(this.queued().keys());
    const conf = path.join(this.dir, 'conf');
    const { status, stderr } = spawnSync(EXIM!, ['-C', conf, to], {
      input: `Subject: x\n${login === '' ? '' : `X-Login: ${login}\n`}${before === '' ? '' : `X-Before: ${Buffer.from(before).toString('base64')}\n`}\nHello\n`,
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    return [...this.queued().keys()].find((id) => !known.has(id))!;
  }

  /** Runs the recipe, and gives what it says. */
  hook(action: HookAction, account: string | null, ...queueIds: readonly string[]): readonly string[] {
    return this.#hook({ action, block: 'b1', account, queueIds });
  }

  /** Has it hold these once more, as after a call that was not heard. */
  holdAgain(account: string, ...queueIds: readonly string[]): readonly string[] {
    return this.#hook({ action: 'hold-queue', block: 'b1', account, queueIds, again: true });
  }

  #hook(call: object): readonly string[] {
    const { status, stdout, stderr } = this.call(call);
    assert.equal(status, 0, stderr);
    return stdout.trimEnd().split('\n');
  }

  call(call: object): SpawnSyncReturns<string> {
    const env = { PATH: `${this.dir}/bin:${process.env['PATH']!}` };
    const args = ['-C', path.join(this.dir, 'conf')];
    return spawnSync(HOOK, args, { input: JSON.stringify(call), env, encoding: 'utf8' });
  }

  /** Ids in the queue, each with whether it is frozen. */
  queued(): ReadonlyMap<string, boolean> {
    const lines = this.exim(['-bp']).split('\n');
    return new Map(
      lines.flatMap((line) => {
        const id = /\s([A-Za-z0-9]{6}-[A-Za-z0-9]{6,11}-[A-Za-z0-9]{2,4})\s/.exec(line)?.[1];
        return id === undefined ? [] : [[id, line.includes('*** frozen ***')] as const];
      }),
    );
  }

  /** Who has got mail. */
  delivered(): readonly string[] {
    const file = path.join(this.dir, 'mail', 'all');
    if (!existsSync(file)) return [];
    return [...readFileSync(file, 'utf8').matchAll(/^Envelope-to: (.*)$/gm)].map(([, to]) => to!).sort();
  }
}

describe('deploy/hooks/exim.mjs with a real Exim', { skip: missing() }, () => {
  test('freezes, releases and removes messages of that login, and leaves all others alone', async (t) => {
    const queue = await Queue.make(t);
    const [one, two] = ['one', 'two'].map((to) => queue.send('alice@example.com', `${to}@b.test`)) as [
      string,
      string,
    ];
    const [other, local] = [
      queue.send('bob@example.com', 'other@b.test'),
      queue.send(undefined, 'local@b.test'),
    ];
    const all = [one, two, other, local, '1aaaaa-0000aa-1a', '-Mrm', '../x'];
    const alice = 'alice@example.com';
    assert.deepEqual(queue.hook('release', alice, ...all), ['end'], 'none of them is frozen');
    assert.deepEqual(queue.hook('delete', alice, ...all), ['end']);
    assert.deepEqual(queue.hook('hold-queue', alice, ...all), [`held ${one}`, `held ${two}`, 'end']);
    assert.deepEqual(queue.hook('hold-queue', alice, one), ['end'], 'somebody has frozen it before');
    assert.deepEqual(queue.holdAgain(alice, one), [`held ${one}`, 'end'], 'an earlier call has');
    const frozen = [...queue.queued()].filter(([, isFrozen]) => isFrozen).map(([id]) => id);
    assert.deepEqual(frozen.sort(), [one, two].sort());
    queue.exim(['-Mf', other]);
    assert.deepEqual(queue.hook('delete', alice, two, other, local), [`deleted ${two}`, 'end']);
    assert.deepEqual(queue.hook('release', alice, one, two, other), [`released ${one}`, 'end']);
    await eventually('it is delivered', () => queue.delivered().length === 1);
    assert.deepEqual(queue.delivered(), ['one@b.test']);
    assert.deepEqual(queue.hook('delete', null, other), ['end'], 'it has a login');
    assert.deepEqual([...queue.queued().keys()].sort(), [local, other].sort());
    assert.deepEqual(queue.hook('hold-queue', null, local, other), [`held ${local}`, 'end']);
  });

  test('fails, and says why, where it cannot read the queue, whatever it is asked for', async (t) => {
    const queue = await Queue.make(t);
    const id = queue.send('alice@example.com', 'one@b.test');
    await writeFile(path.join(queue.dir, 'conf'), 'no_such_setting = x\n');
    for (const action of ['hold-queue', 'release', 'delete'])
      for (const queueIds of [[id], []]) {
        const { status, stdout, stderr } = queue.call({ action, account: 'alice@example.com', queueIds });
        assert.deepEqual([status, stdout], [1, '']);
        assert.match(stderr, /^Command failed: exim .*no_such_setting/s);
      }
  });

  test('has released what it thawed, also if Exim cannot be started to deliver it at once', async (t) => {
    const queue = await Queue.make(t);
    const alice = 'alice@example.com';
    const id = queue.send(alice, 'one@b.test');
    assert.deepEqual(queue.hook('hold-queue', alice, id), [`held ${id}`, 'end']);
    const exim = path.join(queue.dir, 'bin', 'exim');
    await rm(exim);
    const script = `#!/bin/sh\ncase "$*" in *-Mt*) rm "$0";; esac\nexec ${EXIM!} "$@"\n`;
    await writeFile(exim, script, { mode: 0o755 });
    assert.deepEqual(queue.hook('release', alice, id), [`released ${id}`, 'end']);
    assert.equal(existsSync(exim), false);
  });

  test('fails where it may list the queue, and not read it', async (t) => {
    const queue = await Queue.make(t);
    const exim = path.join(queue.dir, 'bin', 'exim');
    await rm(exim);
    // As Exim says it to a user who is no administrator, where `queue_list_requires_admin` is false.
    for (const said of [
      'echo "exim: permission denied" >&2',
      'echo "Failed to open input file for 1aaaaa-0000aa-1a-H: Permission denied"',
    ]) {
      const script = `#!/bin/sh\ncase "$*" in *-bpc*) echo 1;; *) ${said}; exit 1;; esac\n`;
      await writeFile(exim, script, { mode: 0o755 });
      for (const queueIds of [['1aaaaa-0000aa-1a'], []]) {
        const call = { action: 'release', account: 'alice@example.com', queueIds };
        const { status, stdout, stderr } = queue.call(call);
        assert.deepEqual([status, stdout], [1, '']);
        assert.match(stderr, /^Command failed: exim .*permission denied/is);
      }
    }
  });

  test('knows mail that was handed in locally by the name under which the recipe asks about it', async (t) => {
    const queue = await Queue.make(t);
    const web = `uid-${process.getuid!()}@mx.example.com`;
    // What the name looks like within a value of another variable, with a length that its lines go beyond.
    const forged = `x\n-aclm _stopgap_login ${web.length}\n${web}\n`;
    const [one, two] = ['one', 'two'].map((to) => queue.handIn(`${to}@b.test`, web)) as [string, string];
    const other = queue.handIn('other@b.test', 'uid-99999@mx.example.com', forged);
    const plain = queue.handIn('plain@b.test', '');
    const remote = queue.send(web, 'remote@b.test');
    const all = [one, two, other, plain];
    assert.deepEqual(queue.hook('hold-queue', web, ...all), [`held ${one}`, `held ${two}`, 'end']);
    queue.exim(['-Mf', other, plain, remote]);
    assert.deepEqual(queue.hook('delete', web, two, other, plain), [`deleted ${two}`, 'end']);
    assert.deepEqual(queue.hook('release', web, one, other, plain), [`released ${one}`, 'end']);
    await eventually('it is delivered', () => queue.queued().size === 3);
    assert.deepEqual(queue.delivered(), ['one@b.test']);
    assert.deepEqual([...queue.queued().keys()].sort(), [other, plain, remote].sort());
  });

  test('freezes mail of the null sender that waits for its login, and lets it go', async (t) => {
    const queue = await Queue.make(t);
    const alice = 'alice@example.com';
    const id = queue.send(alice, 'one@b.test', '');
    assert.deepEqual(queue.hook('hold-queue', alice, id), [`held ${id}`, 'end']);
    assert.deepEqual([...queue.queued()], [[id, true]]);
    assert.deepEqual(queue.hook('release', alice, id), [`released ${id}`, 'end']);
    await eventually('it is delivered', () => queue.queued().size === 0);
  });

  test('takes no recipient for a line of the envelope', async (t) => {
    const queue = await Queue.make(t);
    const alice = 'alice@example.com';
    const recipients = ['-frozen@b.test', '-auth_id@b.test', '"-auth_id bob"@b.test', '"-aclm x 9"@b.test'];
    for (const to of recipients) {
      const id = queue.send(alice, to);
      assert.deepEqual(queue.hook('hold-queue', alice, id), [`held ${id}`, 'end'], to);
      assert.deepEqual(queue.hook('delete', alice, id), [`deleted ${id}`, 'end']);
    }
  });

  test('takes no part of a return path for a line of the envelope', async (t) => {
    const queue = await Queue.make(t);
    const alice = 'alice@example.com';
    // Regular expressions take all of these for ends of lines.
    for (const end of ['\r', '\u2028', '\u2029']) {
      const id = queue.send(alice, 'one@b.test', `"x${end}-auth_id bob@example.com"@example.com`);
      assert.deepEqual(queue.hook('hold-queue', alice, id), [`held ${id}`, 'end'], JSON.stringify(end));
      assert.deepEqual(queue.hook('delete', alice, id), [`deleted ${id}`, 'end']);
    }
    const frozen = queue.send(alice, 'one@b.test', '"x\r-frozen 1"@example.com');
    assert.deepEqual(queue.hook('hold-queue', alice, frozen), [`held ${frozen}`, 'end']);
    assert.deepEqual([...queue.queued()], [[frozen, true]]);
  });
});

function configuration(dir: string): string {
  return `spool_directory = ${dir}/spool
log_file_path = ${dir}/log/%s
exim_user = mail
exim_group = mail
never_users =
primary_hostname = mx.example.com
acl_smtp_rcpt = accept
acl_smtp_data = accept
acl_not_smtp = acl_local
queue_only
tls_advertise_hosts =
keep_environment =
begin acl
acl_local:
  warn
    condition = \${if def:h_X-Before:}
    set acl_m_a = \${base64d:$h_X-Before:}
  warn
    condition = \${if def:h_X-Login:}
    set acl_m_stopgap_login = $h_X-Login:
  accept
begin routers
all:
  driver = accept
  transport = file
begin transports
file:
  driver = appendfile
  file = ${dir}/mail/all
  envelope_to_add
  user = mail
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = true
  server_set_id = $auth2
`;
}
