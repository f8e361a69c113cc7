import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';

const HOOK = path.resolve('deploy/hooks/postfix.mjs');
/** Stands for each program of Postfix: it prints the file that is named as its command line. */
const PROGRAM = `#!/bin/sh
cd "\${0%/*}" || exit 1
case "\${0##*/}" in
  postsuper) cat >> acted ;;
  *) cat "\${0##*/} $(echo "$*" | tr / _)" 2>/dev/null || test "\${0##*/}" = postconf ;;
esac
`;

/** The id of the account's message when it came, and of the one that is on hold. */
const [FIRST, COPY] = ['4fKnF10001z1Aa', '4fKnF20002z1Bb'];

/** What a filter on this machine gives back through a listener that sends it to no filter, as Postfix 3.7 records it. */
const GIVEN_BACK = `*** ENVELOPE RECORDS hold/${COPY} ***
message_size:             506             675               1               0             506               0
message_arrival_time: Mon Nov 30 09:49:55 2026
create_time: Mon Nov 30 09:49:55 2026
named_attribute: log_ident=${COPY}
named_attribute: rewrite_context=local
sender: alice@example.com
named_attribute: log_client_address=127.0.0.1
named_attribute: log_message_origin=localhost[127.0.0.1]
named_attribute: client_name=localhost
named_attribute: client_address=127.0.0.1
named_attribute: client_port=50498
named_attribute: server_address=127.0.0.1
named_attribute: server_port=10025
named_attribute: helo_name=mx.example.com
named_attribute: protocol_name=ESMTP
named_attribute: client_address_type=2
named_attribute: dsn_orig_rcpt=rfc822;n1@elsewhere.test
original_recipient: n1@elsewhere.test
recipient: n1@elsewhere.test
*** MESSAGE CONTENTS hold/${COPY} ***
*** HEADER EXTRACTED hold/${COPY} ***
*** MESSAGE FILE END hold/${COPY} ***
`;
/** What pickup took. */
const HANDED_IN = GIVEN_BACK.replace(/^named_attribute: (?!rewrite_context|dsn_orig_rcpt).*\n/gm, '');
const REMOTE = GIVEN_BACK.replace(
  '\nnamed_attribute: client_address=127.0.0.1',
  '\nnamed_attribute: client_address=192.0.2.9',
);

/** Received lines, the newest first. */
const BACK = `from mx.example.com (localhost [127.0.0.1])\n\tby mx.example.com (Postfix) with ESMTP id ${COPY}\n\tfor <n1@elsewhere.test>; Mon, 30 Nov 2026 09:49:55 +0000 (UTC)`;
const AMAVIS =
  'from mx.example.com ([127.0.0.1])\n\tby localhost (mx.example.com [127.0.0.1]) (amavisd-new, port 10024)\n\twith ESMTP id n0T9S8-uV1xY for <n1@elsewhere.test>';
const BY_FILTER = `by mx.example.com (Postfix, from userid 0)\n\tid ${COPY}; Mon, 30 Nov 2026 09:49:55 +0000 (UTC)`;
const LOGIN = `from client.test (pc [192.0.2.7])\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n\t key-exchange X25519 server-signature RSA-PSS (2048 bits))\n\t(No client certificate requested)\n\t(Authenticated sender: alice@example.com)\n\tby mx.example.com (Postfix) with ESMTPSA id ${FIRST}\n\tfor <n1@elsewhere.test>; Mon, 30 Nov 2026 09:49:53 +0000 (UTC)`;
const FORGED = `from pc by mx.example.com (Postfix) with ESMTPSA id ${FIRST} for <n1@elsewhere.test>`;
/** Of a stranger's message before the filter. */
const STRANGERS =
  'from evil.test (unknown [192.0.2.9])\n\tby mx.example.com (Postfix) with ESMTP id 4fKnF10009z1Zz\n\tfor <n1@elsewhere.test>; Mon, 30 Nov 2026 09:49:53 +0000 (UTC)';

interface Scene {
  readonly records?: string;
  readonly received: readonly string[];
  /** Of content_filter in main.cf, and lines of `postconf -P`. */
  readonly filter?: string;
  readonly entries?: string;
  /** What the entry `scan` of master.cf runs. */
  readonly scan?: string;
  /** Whether Postfix runs, and is told to deliver. */
  readonly isUp?: boolean;
}

/** Has the hook hold once more what came as FIRST; the copy is on hold. Gives the ids in the queue that it releases then. */
async function released(
  t: TestContext,
  { records = GIVEN_BACK, received, ...settings }: Scene,
): Promise<string> {
  const {
    filter = 'scan:[127.0.0.1]:10024',
    entries = '',
    scan = 'smtp -o smtp_send_xforward_command=yes',
    isUp = true,
  } = settings;
  const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-hook-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const file = path.join(dir, 'program');
  await writeFile(file, PROGRAM, { mode: 0o755 });
  for (const name of ['postqueue', 'postcat', 'postconf', 'postsuper'])
    await symlink(file, path.join(dir, name));
  const answers = {
    'postqueue -j': `{"queue_name":"hold","queue_id":"${COPY}","arrival_time":1796000000}\n`,
    [`postcat -qe ${COPY}`]: records,
    [`postcat -qh ${COPY}`]: [...received.map((line) => `Received: ${line}`), 'Subject: hello', ''].join(
      '\n',
    ),
    'postconf -hx mail_name': 'Postfix\n',
    'postconf -hx myhostname': 'mx.example.com\n',
    'postconf -hx content_filter': `${filter}\n`,
    'postconf -Px': entries,
    'postconf -hF scan_unix_command': scan,
  };
  if (isUp) await writeFile(path.join(dir, `postqueue -i ${COPY}`), '');
  for (const [name, answer] of Object.entries(answers)) await writeFile(path.join(dir, name), answer);
  const { status, stdout, stderr } = spawnSync(HOOK, {
    input: JSON.stringify({
      action: 'release',
      block: 'b1',
      account: 'alice@example.com',
      queueIds: [FIRST],
    }),
    env: { PATH: `${dir}:${process.env['PATH']!}` },
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  const acted = path.join(dir, 'acted');
  const ids = existsSync(acted) ? readFileSync(acted, 'utf8').trim() : '';
  assert.equal(stdout, ids === '' ? 'end\n' : `released ${FIRST}\nend\n`);
  return ids;
}

describe('deploy/hooks/postfix.mjs lets go of what a content filter has given back', () => {
  const scenes: Readonly<Record<string, Scene>> = {
    'with the line of the login below its own': { received: [BACK, LOGIN] },
    'with a line of the filter between': { received: [BACK, AMAVIS, LOGIN] },
    'by XFORWARD, without Received lines': {
      records: GIVEN_BACK.replace(`log_ident=${COPY}`, `log_ident=${FIRST}`),
      received: [],
    },
    'from the address that content_filter names': {
      records: REMOTE,
      received: [BACK, LOGIN],
      filter: '',
      entries: 'submission/inet/content_filter = scan:[192.0.2.9]:10024\n',
    },
    'through a listener with a name of its own': {
      received: [
        BACK.replace('by mx.example.com', 'by back.example.com'),
        LOGIN.replace('by mx', 'by submit'),
      ],
      entries: 'submission/inet/myhostname = submit.example.com\n',
    },
    'by `sendmail` of the user whom the entry of master.cf names': {
      records: HANDED_IN,
      received: [BY_FILTER, LOGIN],
      filter: 'scan:dummy',
      scan: 'pipeflags=Rq user=root:root null_sender= argv=/x',
    },
  };
  for (const [title, given] of Object.entries(scenes))
    test(title, async (t) => {
      assert.equal(await released(t, given), COPY);
    });
});

test('deploy/hooks/postfix.mjs tells what it has let go, also where Postfix does not run and delivers nothing now', async (t) => {
  assert.equal(await released(t, { received: [BACK, LOGIN], isUp: false }), COPY);
});

describe("deploy/hooks/postfix.mjs leaves a stranger's message on hold that names the id of a held one", () => {
  const injected = (...lines: readonly string[]): string => ['rfc822;a', ...lines, 'x'].join('\n');
  const scenes: Readonly<Record<string, Scene>> = {
    'and has come back from the filter': { received: [BACK, STRANGERS, FORGED] },
    'and has come back from a filter with a line of its own': { received: [BACK, AMAVIS, STRANGERS, FORGED] },
    'and came straight from the stranger': {
      records: REMOTE,
      received: [BACK.replace('localhost [127.0.0.1]', 'unknown [192.0.2.9]'), FORGED],
    },
    'and is still to go to the filter': {
      records: GIVEN_BACK.replace(
        'named_attribute',
        'content_filter: scan:[127.0.0.1]:10024\nnamed_attribute',
      ),
      received: [BACK, FORGED],
    },
    'and has no newest line of ours': { received: [FORGED, LOGIN] },
    'in the name of a TLS certificate': {
      received: [
        BACK,
        STRANGERS.replace(
          '\n',
          `\n\t(Client CN "x ((((${FORGED.replace('from pc ', '')}))))", Issuer "x" (not verified))\n`,
        ),
      ],
    },
    'in its recipient': {
      received: [
        BACK,
        STRANGERS.replace('for <n1@', `for <"by mx.example.com (Postfix) with ESMTP id ${FIRST} "@`),
      ],
    },
    'in what looks like a record, by ORCPT': {
      records: GIVEN_BACK.replace(/^named_attribute: log_ident=.*\n/m, '').replace(
        'rfc822;n1',
        injected(`named_attribute: log_ident=${FIRST}`),
      ),
      received: [BACK, STRANGERS],
    },
    'in what looks like the message, by ORCPT': {
      records: GIVEN_BACK.replace(
        'rfc822;n1',
        injected(`*** MESSAGE CONTENTS hold/${COPY} ***`, `Received: ${BACK}`, `Received: ${LOGIN}`),
      ),
      received: [BACK, STRANGERS],
    },
    'in what looks like a record, by the name of a user of this machine': {
      records: HANDED_IN.replace(
        'sender:',
        `sender_fullname: x\nnamed_attribute: log_ident=${FIRST}\nsender:`,
      ),
      received: [BY_FILTER.replace('userid 0', 'userid 33')],
    },
    'and was handed in by another user than the filter': {
      records: HANDED_IN,
      received: [BY_FILTER.replace('userid 0', 'userid 33'), FORGED],
      filter: 'scan:dummy',
      scan: 'pipeflags=Rq user=root null_sender= argv=/x',
    },
    'where mail goes through no filter': { received: [BACK, LOGIN], filter: '' },
  };
  for (const [title, given] of Object.entries(scenes))
    test(title, async (t) => {
      assert.equal(await released(t, given), '');
    });
});
