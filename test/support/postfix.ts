import fc from 'fast-check';
import { SECOND } from '../../src/kernel/time.js';

/** Something that a mail server does. */
export interface Doing {
  /** Milliseconds after what was done before. */
  readonly gap: number;
  readonly what:
    | 'login'
    /** With a return path and recipients that fill the lines. */
    | 'padded'
    | 'local'
    | 'outside'
    | 'filtered'
    | 'refused'
    | 'failed'
    | 'bounced'
    | 'vanished';
  readonly who: number;
  readonly recipients: number;
  /** Milliseconds until it is delivered. */
  readonly life: number;
}

export const doings: fc.Arbitrary<readonly Doing[]> = fc.array(
  fc.record({
    gap: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 200_000 })),
    what: fc.constantFrom(
      ...([
        'login',
        'login',
        'padded',
        'local',
        'outside',
        'filtered',
        'refused',
        'failed',
        'bounced',
        'vanished',
      ] as const),
    ),
    who: fc.nat(3),
    recipients: fc.integer({ min: 1, max: 4 }),
    life: fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 0, max: 1_200_000 })),
  }),
  { minLength: 1, maxLength: 25 },
);

export type Form = 'traditional' | 'iso';

export interface Line {
  readonly at: number;
  readonly text: string;
}

/** The log of a server that does all this, in the order in which syslog would write it. */
export function logOf(all: readonly Doing[], start: number, form: Form): readonly Line[] {
  const lines: Line[] = [];
  let now = start;
  all.forEach((doing, index) => {
    now += doing.gap;
    write(lines, doing, index, now);
  });
  // Stable: what one message's daemons say stays in its order.
  return lines
    .sort((a, b) => a.at - b.at)
    .map(({ at, text }) => ({ at, text: `${form === 'iso' ? isoOf(at) : traditionalOf(at)} mail ${text}` }));
}

/** Characters of what Postfix says; the rest it leaves out. */
const MOST_SAID = 2000;
const PAD = 'x'.repeat(MOST_SAID);

function write(lines: Line[], { what, who, recipients, life }: Doing, index: number, at: number): void {
  const say = (later: number, process: string, text: string): void =>
    void lines.push({ at: at + later, text: `postfix/${process}: ${text.slice(0, MOST_SAID)}` });
  const id = `${(0xab000 + index).toString(16).toUpperCase()}${who}F`;
  const from = `user${who}@example.com`;
  const client = `unknown[192.0.2.${who + 1}]`;
  const login = `, sasl_method=PLAIN, sasl_username=${from}`;
  if (what === 'failed') {
    const text = `warning: ${client}: SASL LOGIN authentication failed: UGFzc3dvcmQ6`;
    // Very same lines, in one second or more.
    for (let attempt = 0; attempt < recipients; attempt++) say(attempt * 400, 'smtpd[7]', text);
    return;
  }
  if (what === 'refused') {
    const reason =
      '550 5.1.1 <x@example.com>: Recipient address rejected: User unknown in local recipient table';
    const text = `NOQUEUE: reject: RCPT from ${client}: ${reason}; from=<${from}> to=<x@example.com> proto=ESMTP helo=<pc> sasl_username=${from}`;
    for (let each = 0; each < recipients; each++) say(each * 300, 'submission/smtpd[8]', text);
    return;
  }
  const outside = what === 'outside';
  if (what === 'local') say(0, 'pickup[5]', `${id}: uid=33 from=<${from}>`);
  else say(0, 'submission/smtpd[8]', `${id}: client=${client}${outside ? '' : login}`);
  say(1, 'cleanup[9]', `${id}: message-id=<${index}@pc>`);
  if (what === 'vanished') return;
  const pad = what === 'padded' ? PAD : '';
  const returnPath = outside && who === 0 ? '' : `${pad}${from}`;
  say(3, 'qmgr[1]', `${id}: from=<${returnPath}>, size=${1000 + index}, nrcpt=${recipients} (queue active)`);
  if (what === 'filtered') {
    const again = `F${id}`;
    const size = 2000 + index;
    say(20, 'reinject/smtpd[3]', `${again}: client=localhost[127.0.0.1]`);
    say(21, 'cleanup[9]', `${again}: message-id=<${index}@pc>`);
    say(22, 'qmgr[1]', `${again}: from=<${from}>, size=${size}, nrcpt=${recipients} (queue active)`);
    say(23, 'qmgr[1]', `${again}: removed`);
  }
  for (let to = 0; to < recipients; to++) {
    const status = what === 'bounced' ? 'dsn=5.1.1, status=bounced (no)' : 'dsn=2.0.0, status=sent (250 OK)';
    say(
      4 + life,
      'smtp[2]',
      `${id}: to=<${pad}x${to}@d${to}.example>, relay=mx[198.51.100.1]:25, delay=1, ${status}`,
    );
  }
  if (what === 'bounced') say(5 + life, 'bounce[4]', `${id}: sender non-delivery notification: B${id}`);
  say(6 + life, 'qmgr[1]', `${id}: removed`);
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

function traditionalOf(at: number): string {
  const date = new Date(Math.floor(at / SECOND) * SECOND);
  const day = String(date.getUTCDate()).padStart(2);
  return `${MONTHS[date.getUTCMonth()]!} ${day} ${date.toISOString().slice(11, 19)}`;
}

function isoOf(at: number): string {
  return new Date(at).toISOString().replace('Z', '000+00:00');
}
