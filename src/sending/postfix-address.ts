/**
 * What Postfix leaves without quotes, byte by byte: atoms between single dots. In quotes, `%` and `!` mean nothing.
 * Control characters, which it quotes too, are left to this: what they are in is refused more often, not less.
 */
const DOT_ATOM = /^[^ "(),:;<>@[\\\].]+(?:\.[^ "(),:;<>@[\\\].]+)*$/;

/**
 * The address that Postfix makes of one that a client has named, as its defaults are (ADDRESS_REWRITING_README,
 * trivial-rewrite(8)): a source route (`@relay.test:user@site`) is dropped, and `swap_bangpath` and `allow_percent_hack` make
 * `user@site` of `site!user` and `user%site` if there is no `@`. Postfix does so only after it has asked its policy service,
 * or has refused a recipient: these get the address without comments, and mostly without quotes. A name without a domain
 * stays one: Postfix gives it `myorigin`, which is not known here.
 *
 * @param raw as text, or one byte a character
 */
export function asPostfixSends(raw: string): string {
  const bare = withoutRoute(raw);
  if (bare.includes('@') || !DOT_ATOM.test(bare)) return bare;
  const bang = bare.indexOf('!');
  if (bang >= 0) return `${bare.slice(bang + 1)}@${bare.slice(0, bang)}`;
  const percent = bare.lastIndexOf('%');
  return percent < 0 ? bare : `${bare.slice(0, percent)}@${bare.slice(percent + 1)}`;
}

/**
 * Without all its routes. Postfix drops the first two and sends the third (`@a:@b:@c:user@site`) out, for the next mail server
 * to drop it. What is left after a turn has one `@` at most: there are two turns, however many routes there are.
 */
function withoutRoute(raw: string): string {
  if (!raw.startsWith('@')) return raw;
  const at = raw.lastIndexOf('@');
  // The domain may be an IPv6 address, which has colons too.
  const colon = raw.lastIndexOf(':', at === 0 ? raw.length : at);
  return colon < 0 || colon === raw.length - 1 ? raw : withoutRoute(raw.slice(colon + 1));
}
