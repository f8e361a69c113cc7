import { problemsText, StopgapError } from '../kernel/errors.js';

/**
 * Something that an administrator wrote (a file, an environment variable) is wrong. All that is wrong is said at
 * once: each problem is one line, `file:line:column: key: what is wrong; what would be right` or
 * `VARIABLE: what is wrong; what would be right`.
 */
export class ConfigError extends StopgapError {
  constructor(readonly problems: readonly string[]) {
    super('invalid-input', problemsText(problems), { problems });
    this.name = 'ConfigError';
  }
}

/** Faults breed more of them: the first tell what is wrong. */
const MOST_PROBLEMS = 20;

/** The first problems, and how many more there are. */
export function firstProblems(problems: readonly string[], file: string): readonly string[] {
  const more = problems.length - MOST_PROBLEMS;
  return more <= 0 ? problems : [...problems.slice(0, MOST_PROBLEMS), `${file}: and ${more} more`];
}
