/** A folder with another Debian in it (debootstrap), whose Dovecot and rspamd are run instead of those installed. */
export const DEBIAN = process.env['STOPGAP_TEST_DEBIAN'] ?? '';

/** A command of that Debian. Paths among its arguments are those that it sees. */
export function command(program: string, args: readonly string[]): readonly [string, readonly string[]] {
  return DEBIAN === '' ? [program, args] : ['chroot', [DEBIAN, program, ...args]];
}
