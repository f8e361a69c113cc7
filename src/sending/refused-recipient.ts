/** What says that a recipient does not exist where a refusal has no enhanced status code (RFC 5321 section 4.2.2). */
const OF_MAILBOX: readonly number[] = [550, 551, 553];
const ENHANCED = /^\d\.(\d{1,3})\.(\d{1,3})(?: |$)/;
/** Statuses of addresses and mailboxes (RFC 3463) that speak of the sender's address, or of the message's length. */
const NOT_OF_RECIPIENT: readonly string[] = ['1.7', '1.8', '2.3'];
/** So Postfix ends the name of a sender whom it refuses at RCPT, with the status of an unknown address. */
const OF_SENDER = '>: Sender address rejected: ';

/**
 * Whether a refusal at RCPT says that the recipient does not exist or takes no mail. Others say something of the sender, of the client
 * or of the message, and nothing of whose list is bad.
 *
 * @param text what follows the code of the reply; it may begin with an enhanced status code
 */
export function refusesRecipient(code: number, text: string): boolean {
  if (code < 500 || text.includes(OF_SENDER)) return false;
  const enhanced = ENHANCED.exec(text);
  if (enhanced === null) return OF_MAILBOX.includes(code);
  const [, subject, detail] = enhanced;
  return (subject === '1' || subject === '2') && !NOT_OF_RECIPIENT.includes(`${subject}.${detail}`);
}
