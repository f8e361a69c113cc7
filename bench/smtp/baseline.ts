import { tmpdir } from 'node:os';
import type { AddressInfo } from 'node:net';
import type { SMTPServerOptions, SMTPServerSession } from 'smtp-server';
import { SMTPServer } from 'smtp-server';
import { collectBody } from '../../src/smtp/relay/body.js';
import { openRelay } from '../../src/smtp/relay/open.js';
import type { RelayTransaction } from '../../src/smtp/relay/port.js';

/*
 * What Stopgap is measured against: smtp-server alone. `relay URL` hands messages over through the same relay
 * and does nothing else; `discard` throws them away. Prints its port.
 */
const [mode, url] = process.argv.slice(2);

const accept: SMTPServerOptions = {
  authMethods: ['PLAIN', 'LOGIN'],
  allowInsecureAuth: true,
  disabledCommands: ['STARTTLS'],
  disableReverseLookup: true,
  logger: false,
  onAuth: (auth, _session, done) => done(null, { user: auth.username }),
};

function discarding(): SMTPServerOptions {
  return {
    ...accept,
    onData(stream, _session, done) {
      stream.on('end', () => done());
      stream.resume();
    },
  };
}

function relaying(upstream: string): SMTPServerOptions {
  const relay = openRelay(upstream, { hostname: 'baseline' });
  const transactions = new WeakMap<SMTPServerSession, RelayTransaction>();
  return {
    ...accept,
    onRcptTo(address, session, done) {
      let transaction = transactions.get(session);
      if (transaction === undefined) {
        const { mailFrom } = session.envelope;
        transaction = relay.begin({ returnPath: mailFrom === false ? '' : mailFrom.address, utf8: false });
        transactions.set(session, transaction);
      }
      transaction.offer({ address: address.address }).then(() => done(), done);
    },
    onData(stream, session, done) {
      const transaction = transactions.get(session)!;
      transactions.delete(session);
      collectBody(stream, { spoolDir: tmpdir() })
        .then((body) => transaction.transmit(body, () => true))
        .then((delivery) => done(null, delivery.reply.text), done)
        .finally(() => transaction.end());
    },
  };
}

const server = new SMTPServer(mode === 'relay' ? relaying(url!) : discarding());
server.listen(0, '127.0.0.1', () =>
  process.stdout.write(`${(server.server.address() as AddressInfo).port}\n`),
);
process.once('SIGTERM', () => process.exit(0));
