import { once } from 'node:events';
import net from 'node:net';

/*
 * A closed loop of smtpd processes: each connection asks at END-OF-MESSAGE, waits for the answer and asks again.
 * PORT CONNECTIONS REQUESTS SENDERS STATE. Prints one JSON object.
 */
const [port, connections, requests, senders] = process.argv.slice(2).map(Number) as [
  number,
  number,
  number,
  number,
];
const state = process.argv[6]!;

/** Queue files in use at a time. */
const FILES = 64;

/** As Postfix makes a short one: microseconds, which come in any order, and the number of a queue file. Each comes once. */
function queueIdOf(n: number): string {
  const microseconds = (Math.floor(n / FILES) * 7919) & 0xfffff;
  const file = process.pid * FILES + (n % FILES);
  return `${microseconds.toString(16).padStart(5, '0')}${file.toString(16)}`.toUpperCase();
}

/** As Postfix 3.10 asks. */
function requestOf(n: number): string {
  const sender = `s${n % senders}@bench.example`;
  return [
    'request=smtpd_access_policy',
    `protocol_state=${state}`,
    'protocol_name=ESMTP',
    'client_address=192.0.2.7',
    'client_name=pc.bench.example',
    'client_port=45678',
    'reverse_client_name=pc.bench.example',
    'server_address=198.51.100.1',
    'server_port=587',
    'helo_name=pc.bench.example',
    `sender=${sender}`,
    'recipient=r0@rcpt.example',
    'recipient_count=1',
    `queue_id=${queueIdOf(n)}`,
    `instance=${process.pid.toString(16)}.6b0a8558.${n.toString(16)}.0`,
    'size=1024',
    'etrn_domain=',
    'stress=',
    'sasl_method=plain',
    `sasl_username=${sender}`,
    'sasl_sender=',
    'ccert_subject=',
    'ccert_issuer=',
    'ccert_fingerprint=',
    'ccert_pubkey_fingerprint=',
    'encryption_protocol=TLSv1.3',
    'encryption_cipher=TLS_AES_256_GCM_SHA384',
    'encryption_keysize=256',
    'policy_context=',
    'compatibility_level=3.10',
    'mail_version=3.10.13',
    '',
    '',
  ].join('\n');
}

let started = 0;
const took: number[] = [];

async function ask(): Promise<void> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true }).setEncoding('latin1');
  await once(socket, 'connect');
  await new Promise<void>((resolve, reject) => {
    let began = 0;
    const next = (): void => {
      if (started >= requests) return resolve();
      began = performance.now();
      socket.write(requestOf(started++), 'latin1');
    };
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the connection was closed')));
    socket.on('data', (answer: string) => {
      if (answer !== 'action=DUNNO\n\n') return reject(new Error(`answered ${answer}`));
      took.push(performance.now() - began);
      next();
    });
    next();
  });
  socket.removeAllListeners('close').destroy();
}

const began = performance.now();
await Promise.all(Array.from({ length: connections }, ask));
const seconds = (performance.now() - began) / 1000;
took.sort((a, b) => a - b);
const p99 = took[Math.min(took.length - 1, Math.ceil(took.length * 0.99) - 1)];
process.stdout.write(`${JSON.stringify({ rate: took.length / seconds, p99 })}\n`);
