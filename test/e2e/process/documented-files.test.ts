import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { generate } from 'selfsigned';
import { parse, stringify } from 'yaml';
import { parseOverrides } from '../../../src/accounts/overrides.js';
import { parseSenderMap } from '../../../src/accounts/senders.js';
import { startApp } from '../../../src/app.js';
import { banner } from '../../../src/cli/serve.js';
import { listSettings, loadConfig } from '../../../src/config.js';
import { openLogs } from '../../../src/log/logs.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import { parseRules } from '../../../src/rules/parse.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { mmdb } from '../../support/mmdb.js';
import { workDir } from '../../support/smtp/served.js';
import { KEY } from '../../support/notices/channels.js';
import { freePort } from '../../support/ports.js';

interface Example {
  /** The page and the line that it begins at. */
  readonly name: string;
  readonly text: string;
}

type Mapping = Record<string, unknown>;

const PAGES = [
  'README.md',
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' }).flatMap((name) =>
    name.endsWith('.md') ? [`docs/${name}`] : [],
  ),
];
const SETTINGS = new Set(listSettings().map((setting) => setting.path.split('.')[0]!));

/** Each YAML file, or part of one, that a page shows. */
function examples(): readonly Example[] {
  return PAGES.flatMap((page) => {
    const text = readFileSync(page, 'utf8');
    return [...text.matchAll(/^( *)```yaml\n([\s\S]*?)^ *```$/gm)].map(({ 1: indent, 2: body, index }) => ({
      name: `${page}:${text.slice(0, index).split('\n').length}`,
      text: body!.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    }));
  });
}

function kindOf(value: Mapping): 'rules' | 'overrides' | 'senders' | 'configuration' {
  if (Array.isArray(value['rules'])) return 'rules';
  if (Array.isArray(value['overrides'])) return 'overrides';
  return Object.keys(value).every((key) => SETTINGS.has(key)) ? 'configuration' : 'senders';
}

/** The folders of this machine in place of those of the page, and ports that are free. */
async function moved(text: string, dir: string): Promise<Mapping> {
  let here = text.replaceAll(/\/(?:etc|var\/lib|var\/log|run)\/[\w-]+(?=[/\s,}]|$)/gm, dir);
  for (const [listen] of here.matchAll(/(?<=listen: )'?(?:[\d.]*:\d+|systemd:\w+)'?/g))
    here = here.replace(`listen: ${listen}`, `listen: 127.0.0.1:${await freePort()}`);
  const value = parse(here) as Mapping & { smtp?: Mapping; api?: Mapping };
  value.smtp = { relay: { url: 'maildir:./mail' }, hostname: 'mx.example.com', ...value.smtp };
  // Without a word about it there would be one listener, on a port that others may have.
  value.smtp['submission'] ??= { listen: `127.0.0.1:${await freePort()}` };
  value.api ??= { listen: `127.0.0.1:${await freePort()}` };
  return value;
}

/** As `stopgap serve` does it; a process for each page would take twenty times as long. */
async function startAndStop(file: string): Promise<void> {
  const loaded = loadConfig({ file, env: {}, cwd: path.dirname(file) });
  const lines: string[] = [];
  const logs = await openLogs(loaded.config.log, (line) => lines.push(line));
  const faults: unknown[] = [];
  const app = await startApp({ loaded, clock: systemClock, logs, onFatal: (error) => faults.push(error) });
  assert.match(banner(loaded, app), /Stop with Ctrl-C\./);
  await app.stop();
  assert.deepEqual(faults, [], lines.join(''));
}

describe('the files that the pages show', () => {
  const all = examples();
  const made = generate([{ name: 'commonName', value: 'mx.example.com' }]);
  test('are found', () => assert.ok(all.length > 8, `${all.length}`));

  for (const { name, text } of all) {
    const kind = kindOf(parse(text) as Mapping);
    if (kind === 'configuration')
      test(`the configuration of ${name} starts`, async (t) => {
        const dir = await workDir(t);
        const { cert, private: key } = await made;
        writeFileSync(path.join(dir, 'mx.crt'), cert);
        writeFileSync(path.join(dir, 'mx.key'), key, { mode: 0o600 });
        // As the pages say that it is made.
        writeFileSync(path.join(dir, 'rules.yaml'), DEFAULT_RULES);
        for (const list of ['users', 'tokens'])
          writeFileSync(path.join(dir, `${list}.yaml`), `${list}: []\n`);
        for (const [type, known] of [
          ['GeoLite2-Country', { country: { iso_code: 'DE' } }],
          ['GeoLite2-ASN', { autonomous_system_number: 64_500 }],
        ] as const)
          writeFileSync(
            path.join(dir, `${type}.mmdb`),
            mmdb({ type, networks: { '192.0.2.0/24': known }, builtAt: Date.now() }),
          );
        for (const [name, line] of [
          ['webhook-key', KEY],
          ['matrix-token', 'syt_token'],
          ['openid-secret', 'of the provider'],
          ['slack-url', 'https://hooks.slack.example/services/T0/B0/X'],
          ['teams-url', 'https://teams.example/workflows/x'],
        ] as const)
          writeFileSync(path.join(dir, name), `${line}\n`, { mode: 0o600 });
        mkdirSync(path.join(dir, 'mail'));
        const file = path.join(dir, 'stopgap.yaml');
        writeFileSync(file, stringify(await moved(text, dir)));
        await startAndStop(file);
      });
    else
      test(`the ${kind} of ${name} are valid`, () => {
        if (kind === 'overrides') parseOverrides(text, name);
        else if (kind === 'senders') parseSenderMap(text, name);
        else parseRules(text.includes('version:') ? text : `version: 1\n${text}`, name);
      });
  }
});
