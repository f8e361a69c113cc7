import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { Asking } from '../../support/policy/asking.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { freePort } from '../../support/ports.js';

const PROGRAM = 'systemd-socket-activate';
const missing = spawnSync(PROGRAM, ['--version']).status === 0 ? false : `there is no ${PROGRAM} here`;
const NAMES = ['api', 'policy', 'submission', 'inbound'];

const CONFIG = `data: ./data
smtp:
  hostname: mx.example.com
  submission: { listen: 'systemd:submission', tls: { mode: starttls } }
  inbound: { listen: 'systemd:inbound', domains: [example.com] }
  auth: { users: ./users.yaml }
  relay: { url: 'maildir:./mail' }
policy: { listen: 'systemd:policy' }
api: { listen: 'systemd:api', tokens: ./tokens.yaml, metrics: open }
`;

test(
  'a client that comes before the program waits, and every listener serves on the socket that it was passed',
  { skip: missing },
  async (t) => {
    const dir = await workDir(t);
    await writeFile(path.join(dir, 'stopgap.yaml'), CONFIG);
    await writeFile(path.join(dir, 'users.yaml'), 'users: []\n');
    await writeFile(path.join(dir, 'tokens.yaml'), 'tokens: []\n');
    const ports = [];
    for (const _ of NAMES) ports.push(await freePort());
    const [api, policy, submission, inbound] = ports as [number, number, number, number];
    const served = Served.begin(
      t,
      dir,
      {},
      {
        through: [
          PROGRAM,
          ...ports.flatMap((port) => ['-l', `127.0.0.1:${port}`]),
          `--fdname=${NAMES.join(':')}`,
        ],
      },
    );
    await served.says(/Listening on 127\.0\.0\.1:\d+ as 6/);
    const early = await Dialogue.connect(submission);
    assert.match(await early.reply(), /^220 mx\.example\.com /);
    await served.announced();
    assert.match(served.stdout, /submission +systemd:submission/);
    await early.quit();

    const stranger = await Dialogue.hello(inbound);
    assert.match(await stranger.send('x@elsewhere.test', ['one@example.com']), /^250 /);
    await stranger.quit();
    const asking = await Asking.open(t, policy);
    assert.equal(await asking.ask(), 'DUNNO');
    assert.equal((await fetch(`http://127.0.0.1:${api}/readyz`)).status, 200);
    const { code } = await served.terminate();
    assert.equal(code, 0);
  },
);
