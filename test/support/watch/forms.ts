import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { listSettings } from '../../../src/config.js';
import { ROLES } from '../../../src/config/values.js';
import { REPOSITORY } from './rules.js';

/** A process of Stopgap as it is called in a form. */
export interface Process {
  readonly roles: readonly string[];
  /** Where it serves `/healthz` and `/metrics`, there where it runs. */
  readonly port: string;
}

interface ComposeService {
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
}

const read = (file: string): string => readFileSync(path.join(REPOSITORY, file), 'utf8');
const portOf = (address: string): string => address.replace(/^.*:/, '');

/** The services of docker-compose.yml; which of them are processes of Stopgap; what is published on loopback. */
export function composeForm(): {
  readonly services: ReadonlySet<string>;
  readonly processes: ReadonlyMap<string, Process>;
  readonly published: ReadonlySet<string>;
} {
  const { services } = parse(read('docker-compose.yml'), { merge: true }) as {
    services: Readonly<Record<string, ComposeService>>;
  };
  const { api } = parse(read('deploy/stopgap/stopgap.yaml')) as { api: { listen: string } };
  const entries = Object.entries(services);
  return {
    services: new Set(Object.keys(services)),
    processes: new Map(
      entries.flatMap(([name, { environment = {} }]) => {
        const roles = environment['STOPGAP_ROLES'];
        return roles === undefined ? [] : [[name, { roles: roles.split(','), port: portOf(api.listen) }]];
      }),
    ),
    published: new Set(entries.flatMap(([, { ports = [] }]) => ports.map((port) => port.split(':')[1]!))),
  };
}

/**
 * The units that docs/operating.md and docs/deploy.md describe, without `.service`: all roles in one, and the instances
 * of a template for each role. And where users hand in mail.
 */
export function systemdForm(): {
  readonly units: ReadonlyMap<string, Process>;
  readonly submission: ReadonlySet<string>;
} {
  const one = /`\/etc\/systemd\/system\/([\w-]+)\.service`/.exec(read('docs/operating.md'))![1]!;
  const deploy = read('docs/deploy.md');
  const template = /`\/etc\/systemd\/system\/([\w-]+@)\.service`/.exec(deploy)![1]!;
  const listen = listSettings().find(({ path: name }) => name === 'api.listen')!;
  const units = new Map<string, Process>([[one, { roles: ROLES, port: portOf(listen.default!) }]]);
  for (const [, instance, text] of deploy.matchAll(/^# \/etc\/stopgap\/([\w-]+)\.env\n((?:\w+=.*\n)+)/gm)) {
    const variables = new Map([...text!.matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value!]));
    units.set(`${template}${instance}`, {
      roles: variables.get('STOPGAP_ROLES')!.split(','),
      port: portOf(variables.get('STOPGAP_API_LISTEN')!),
    });
  }
  const listeners = read('docs/operating.md').matchAll(/listen: ':(\d+)', tls:/g);
  return { units, submission: new Set([...listeners].map(([, port]) => port!)) };
}
