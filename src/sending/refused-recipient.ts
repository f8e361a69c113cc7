/** An enhanced status code (RFC 3463): at the beginning (RFC 2034), or where qmail puts it, as in `(#5.1.1)`. */
const STATUS = /^\d\.(\d{1,3})\.(\d{1,3})(?: |$)|\(#\d\.(\d{1,3})\.(\d{1,3})/;
/** Statuses of addresses and mailboxes that speak of the sender's address, or of the message's length. */
const NOT_OF_RECIPIENT: readonly string[] = ['1.7', '1.8', '2.3'];
/** So Postfix ends the name of a sender whom it refuses at RCPT, with the status of an unknown address. */
const OF_SENDER = '>: Sender address rejected: ';

/** Not by its code alone: Exim gives no status, and 550 to everything that it refuses (a relay, a client, a sender). */
const SAYS_SO = new RegExp(
  [
    'no such (?:user|recipient|mailbox|address|account|person|alias|local)',
    '(?:user|recipient|mailbox|address|account) (?:is )?(?:unknown|unavailable|disabled|inactive|invalid)',
    '(?:user|recipient|mailbox|address|account) (?:is )?not (?:found|known|available|local|valid)',
    '(?:unknown|unrouteable|unroutable|undeliverable|invalid|bad) (?:user|recipient|mailbox|address|account|local)',
    'recipient address rejected',
    'no mailbox',
    'mailbox name not allowed',
    'does not exist',
    "doesn't exist",
    'not an? (?:valid|known) (?:user|recipient|mailbox|address|account)',
  ].join('|'),
  'i',
);

/** What else may be unknown, or not exist. */
const OF_OTHERS =
  /\b(?:sender|from|return[ -]path|client|host|helo|ehlo|dns|your|relay(?:ing)?|callout|authenti(?:cation|cate|cated))\b/i;

/**
 * Whether a refusal at RCPT says that the recipient does not exist or takes no mail. Others say something of the sender, of the client
 * or of the message, and nothing of whose list is bad.
 *
 * @param text what follows the code of the reply
 */
export function refusesRecipient(code: number, text: string): boolean {
  if (code < 500 || text.includes(OF_SENDER)) return false;
  const status = STATUS.exec(text);
  if (status === null) {
    if (code === 551) return true;
    // Names may say anything.
    const words = text.replaceAll(/<[^<>]*>|"[^"]*"/g, '');
    return (code === 550 || code === 553) && SAYS_SO.test(words) && !OF_OTHERS.test(words);
  }
  const [, subject = status[3], detail = status[4]] = status;
  return (subject === '1' || subject === '2') && !NOT_OF_RECIPIENT.includes(`${subject}.${detail}`);
}
