import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { KurrentDBClient } from '@kurrent/kurrentdb-client';
import { generate } from 'selfsigned';
import { parseRedis } from '../../../src/redis/address.js';
import { readCompose, ROOT } from './compose.js';

test('make-secrets.sh makes what the compose files read, and leaves alone what is there', async (context) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'stopgap-'));
  context.after(() => rmSync(directory, { recursive: true }));
  for (const name of ['make-secrets.sh', 'secrets/README.md', 'secrets/.gitignore']) {
    cpSync(path.join(ROOT, 'deploy', name), path.join(directory, name));
  }
  const run = (): Record<string, string> => {
    const { status, stderr } = spawnSync('sh', [path.join(directory, 'make-secrets.sh')], {
      encoding: 'utf8',
    });
    assert.equal(`${status} ${stderr}`, '0 ');
    const secrets = readdirSync(path.join(directory, 'secrets')).filter((name) => !/^README|^\./.test(name));
    return Object.fromEntries(
      secrets.map((name) => [name, readFileSync(path.join(directory, 'secrets', name), 'utf8').trim()]),
    );
  };
  const made = run();
  const compose = readCompose('docker-compose.yml', 'docker-compose.cluster.yml');
  const read = [
    ...Object.values(compose.secrets!).map(({ file }) => file),
    ...Object.values(compose.services).flatMap((service) => service.env_file ?? []),
  ].map((file) => path.posix.basename(file));
  assert.deepEqual(Object.keys(made).sort(), [...new Set(read)].sort());
  assert.deepEqual(run(), made);

  assert.equal(statSync(path.join(directory, 'secrets')).mode & 0o777, 0o700);
  for (const name of Object.keys(made)) {
    assert.equal(statSync(path.join(directory, 'secrets', name)).mode & 0o777, 0o444, name);
  }
  assert.match(made['redis-password']!, /^[0-9a-f]{48}$/);
  assert.equal(parseRedis(made['redis-url']!).secrets().password, made['redis-password']);
  const admin = /^KURRENTDB_DEFAULT_ADMIN_PASSWORD=(.+)$/m.exec(made['kurrentdb.env']!)![1]!;
  assert.ok(made['store-url']!.startsWith(`kurrentdb://admin:${admin}@`));

  // The client reads the authority's certificate as soon as it reads the URL.
  const authority = path.join(directory, 'ca.crt');
  writeFileSync(authority, (await generate([{ name: 'commonName', value: 'authority' }])).cert);
  const mounted = '/etc/stopgap-ca/ca.crt';
  assert.ok(made['store-url']!.endsWith(`tlsCaFile=${mounted}`));
  assert.ok(compose.services['api']!.volumes!.includes(`kurrentdb-ca:${path.posix.dirname(mounted)}:ro`));
  const client = KurrentDBClient.connectionString(made['store-url']!.replace(mounted, authority));
  await client.dispose();
});
