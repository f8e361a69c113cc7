/**
 * Options of Node.js for the many processes of tests, which live for seconds. To compile for speed what then runs for a moment takes
 * a quarter of the processor that a start takes. Newer ones do so later by themselves, and do not know the option.
 */
export const FOR_SHORT_LIVES: readonly string[] =
  Number.parseInt(process.versions.node) < 22 ? ['--interrupt-budget=1000000'] : [];
