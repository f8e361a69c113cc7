import net from 'node:net';

/*
 * A closed-loop SMTP client on loopback: every session waits for each answer before it says more, sends its
 * messages, quits, and is followed by a new one. Prints one JSON object.
 *
 *   load.js PORT CONNECTIONS MESSAGES_EACH TOTAL USER PASSWORD RECIPIENT_DOMAIN
 */
const [port, connections, each, total] = process.argv.slice(2, 6).map(Number) as [
  number,
  number,
  number,
  number,
];
const [user, password, domain] = process.argv.slice(6) as [string, string, string];

const login = Buffer.from(`\0${user}\0${password}`).toString('base64');
const head = `From: <${user}>\r\nTo: <someone@${domain}>\r\nSubject: load\r\n\r\n`;
const body = `${head}${`${'x'.repeat(76)}\r\n`.repeat(12)}`.slice(0, 1022);
const message = `${body.replace(/\r?\n?$/, '')}\r\n.\r\n`;

let started = 0;
let accepted = 0;
let refused = 0;
let lost = 0;
let open = 0;
let recipient = 0;
const began = performance.now();

function session(): void {
  open++;
  let left = each;
  let stage: 'greeting' | 'ehlo' | 'auth' | 'mail' | 'rcpt' | 'data' | 'dot' | 'rset' | 'quit' = 'greeting';
  let buffered = '';
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  socket.setEncoding('latin1');
  socket.setTimeout(30_000, () => socket.destroy(new Error('timeout')));
  const say = (next: typeof stage, line: string): void => {
    stage = next;
    socket.write(line);
  };
  const nextMessage = (): void => {
    if (left === 0 || started >= total) return say('quit', 'QUIT\r\n');
    left--;
    started++;
    say('mail', `MAIL FROM:<${user}>\r\n`);
  };
  const answer = (code: number): void => {
    if (code >= 400 && stage !== 'quit') {
      refused++;
      if (stage === 'auth' || stage === 'greeting' || stage === 'ehlo') {
        // A session that is not let in is a message that could not be tried.
        started++;
        return say('quit', 'QUIT\r\n');
      }
      return stage === 'dot' ? nextMessage() : say('rset', 'RSET\r\n');
    }
    switch (stage) {
      case 'greeting':
        return say('ehlo', 'EHLO load.example.net\r\n');
      case 'ehlo':
        return say('auth', `AUTH PLAIN ${login}\r\n`);
      case 'auth':
      case 'rset':
        return nextMessage();
      case 'mail':
        return say('rcpt', `RCPT TO:<r${++recipient}@${domain}>\r\n`);
      case 'rcpt':
        return say('data', 'DATA\r\n');
      case 'data':
        return say('dot', message);
      case 'dot':
        accepted++;
        return nextMessage();
      case 'quit':
        socket.end();
    }
  };
  socket.on('data', (chunk: string) => {
    buffered += chunk;
    for (let end = buffered.indexOf('\r\n'); end >= 0; end = buffered.indexOf('\r\n')) {
      const line = buffered.slice(0, end);
      buffered = buffered.slice(end + 2);
      if (line[3] !== '-') answer(Number(line.slice(0, 3)));
    }
  });
  socket.on('error', () => lost++);
  socket.on('close', () => {
    open--;
    if (started < total && lost < total) session();
    else if (open === 0) finish();
  });
}

function finish(): void {
  const seconds = (performance.now() - began) / 1000;
  process.stdout.write(`${JSON.stringify({ accepted, refused, lost, seconds, rate: accepted / seconds })}\n`);
}

for (let index = 0; index < connections; index++) session();
