import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type { Finding } from '../../../src/cli/doctor/findings.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { Terminal } from '../cli-client/support.js';

export interface Examined {
  readonly code: number;
  readonly findings: readonly Finding[];
  /** Whether there is such a finding. */
  readonly has: (check: Finding['check'], outcome: Finding['outcome'], text: RegExp) => void;
}

export interface Given {
  readonly yaml?: string;
  readonly files?: Readonly<Record<string, string | Buffer>>;
  readonly env?: Record<string, string>;
}

/** `stopgap doctor --json` in a folder that holds just this. */
export async function doctor(t: TestContext, given: Given, cwd?: string): Promise<Examined> {
  const terminal = await Terminal.open(systemClock, given.env);
  t.after(() => terminal.close());
  const folder = cwd ?? terminal.cwd;
  if (given.yaml !== undefined) writeFileSync(path.join(folder, 'stopgap.yaml'), given.yaml);
  for (const [name, text] of Object.entries(given.files ?? {})) writeFileSync(path.join(folder, name), text);
  const { code, out, err } = await terminal.in(folder).run('doctor', '--json');
  assert.equal(err, '');
  const { ok, findings } = JSON.parse(out) as { ok: boolean; findings: Finding[] };
  assert.equal(ok, code === 0);
  const has: Examined['has'] = (check, outcome, text) => {
    const found = findings.some(
      (one) =>
        one.check === check && one.outcome === outcome && text.test(`${one.detail}; ${one.remedy ?? ''}`),
    );
    assert.ok(found, `no ${outcome} of ${check} like ${text} in\n${JSON.stringify(findings, null, 1)}`);
  };
  return { code, findings, has };
}

/** Listeners that are in nobody's way. */
export const QUIET = { STOPGAP_SMTP_SUBMISSION_LISTEN: '127.0.0.1:0', STOPGAP_API_LISTEN: '127.0.0.1:0' };
