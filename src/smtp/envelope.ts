import type { SMTPServerAddress, SMTPServerSession } from 'smtp-server';
import type { RelayEnvelope, RelayRecipient } from './relay/port.js';

/** What the client said at MAIL FROM, for the relay. */
export function relayEnvelope({ envelope }: SMTPServerSession): RelayEnvelope {
  const { mailFrom } = envelope;
  if (mailFrom === false) throw new Error('RCPT TO before MAIL FROM reached the handler');
  // Only what was said at this MAIL FROM: the library's envelope keeps parameters of one that was refused
  // before it, and its bodyType is 7bit where nothing was said.
  const args: Readonly<Record<string, unknown>> = mailFrom.args || {};
  const { SIZE: size, BODY: body, RET: ret, ENVID: envid, SMTPUTF8: utf8 } = args;
  return {
    returnPath: mailFrom.address,
    utf8: utf8 === true,
    ...(typeof body !== 'string' ? {} : { body: body.toUpperCase() === '8BITMIME' ? '8BITMIME' : '7BIT' }),
    ...(typeof ret !== 'string' ? {} : { ret: ret.toUpperCase() === 'FULL' ? 'FULL' : 'HDRS' }),
    ...(typeof envid !== 'string' ? {} : { envid }),
    ...(typeof size !== 'string' ? {} : { size: Number(size) }),
  };
}

/** What the client said at RCPT TO, for the relay. */
export function relayRecipient({ address, dsn }: SMTPServerAddress): RelayRecipient {
  return {
    address,
    ...(dsn?.notify === undefined ? {} : { notify: dsn.notify }),
    ...(dsn?.orcpt === undefined ? {} : { orcpt: dsn.orcpt }),
  };
}
