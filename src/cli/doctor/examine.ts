import type { ConfigOption } from '../options.js';
import { ConfigError, loadConfig } from '../../config.js';
import type { Config, LoadedConfig } from '../../config.js';
import { pathFault } from '../../accounts/private-file.js';
import { seesSends } from '../../config/schema.js';
import { messageOf } from '../../kernel/errors.js';
import type { Clock } from '../../kernel/time.js';
import { inspectStore } from '../../store/sqlite/inspect.js';
import type { ApiClient, ClientOption } from '../client.js';
import { askedIfThere, serverUrl } from '../client.js';
import type { CliIo } from '../io.js';
import {
  checkLogins,
  checkOpenId,
  checkOutbox,
  checkRedis,
  checkStore,
  checkTracing,
  checkUpstream,
} from './engines.js';
import {
  checkAccounts,
  checkClock,
  checkDisk,
  checkGeoip,
  checkHooks,
  checkNode,
  checkOverrides,
  checkRules,
} from './files.js';
import type { CheckName, Finding, World } from './findings.js';
import { CHECKS, Findings } from './findings.js';
import { checkDovecot, checkPolicy, checkReports } from './policy.js';
import { checkNotices } from './notices.js';
import { askServer, checkPolicySocket, checkPorts, checkServer, checkTls } from './network.js';
import { checkPermissions } from './permissions.js';

type Check = (findings: Findings, world: World) => void | Promise<void>;

/** All that need a configuration. */
const LOOKS: Readonly<Partial<Record<CheckName, Check>>> = {
  accounts: checkAccounts,
  rules: checkRules,
  overrides: checkOverrides,
  geoip: checkGeoip,
  hooks: checkHooks,
  permissions: checkPermissions,
  disk: checkDisk,
  clock: checkClock,
  server: checkServer,
  ports: checkPorts,
  tls: checkTls,
  store: checkStore,
  outbox: checkOutbox,
  redis: checkRedis,
  upstream: checkUpstream,
  logins: checkLogins,
  policy: checkPolicy,
  dovecot: checkDovecot,
  reports: checkReports,
  notices: checkNotices,
  openid: checkOpenId,
  tracing: checkTracing,
};

/** Which of them there is nothing to look at for, and why. */
function needless(check: CheckName, config: Config): string | undefined {
  const { roles, redis, store, overrides, geoip, hooks, smtp, tracing, notices, api } = config;
  const takesMail = roles.includes('smtp');
  if (check === 'overrides' && overrides === undefined) return 'no file is configured';
  if (check === 'geoip' && geoip.country === undefined && geoip.asn === undefined)
    return 'no database is configured';
  if (check === 'openid' && api.openId === undefined) return 'no provider is configured';
  if (check === 'openid' && !roles.includes('api')) return 'this process has no role api';
  if (check === 'tracing' && tracing === undefined) return 'no endpoint is configured';
  if (check === 'overrides' && !roles.includes('detector')) return 'this process has no role detector';
  if (check === 'rules' && !roles.includes('detector') && !roles.includes('api'))
    return 'this process has neither role detector nor api: ask the doctor of one that has';
  if ((check === 'tls' || check === 'upstream' || check === 'logins') && !takesMail)
    return 'this process has no role smtp';
  if (check === 'logins' && smtp.auth.backend === 'file')
    return 'the users file knows the accounts: nobody is asked';
  if (check === 'geoip' && !seesSends(config)) return 'this process sees no sends';
  if (check === 'hooks' && hooks.run === undefined) return 'none is configured';
  if (check === 'hooks' && !roles.includes('worker')) return 'this process has no role worker';
  if (check === 'policy' && !seesSends(config)) return 'this process has neither role policy nor smtp';
  if (check === 'dovecot' && !roles.includes('policy') && !roles.includes('api'))
    return 'this process answers no Dovecot';
  if (check === 'reports' && !seesSends(config)) return 'this process sees no sends';
  if (check === 'notices' && notices.channels.length === 0) return 'no channel is configured';
  if (check === 'notices' && !roles.includes('worker')) return 'this process has no role worker';
  if (check === 'outbox' && (store.kind === 'sqlite' || !seesSends(config)))
    return 'nothing waits on this disk';
  if (check === 'redis' && !roles.includes('worker')) return 'this process has no role worker';
  if (check === 'redis' && redis === undefined) return 'none is configured: timed work waits in the process';
  return undefined;
}

/**
 * Checks everything that a Stopgap here depends on, before its first start or while it runs. Changes nothing. It
 * reports what cannot be checked, with the reason.
 */
export async function examine(io: CliIo, options: ClientOption): Promise<Finding[]> {
  const findings = new Map(CHECKS.map((check) => [check, new Findings(check)]));
  await checkNode(findings.get('node')!);
  const loaded = configuration(findings.get('configuration')!, io, options);
  if (loaded === undefined) {
    for (const check of Object.keys(LOOKS) as CheckName[])
      findings.get(check)!.notTried('the configuration has to be right first');
  } else {
    const { config } = loaded;
    const store = config.store.kind === 'sqlite' ? inspectStore(config.store.file) : undefined;
    const place = serverUrl(io, options, config);
    const server = await askServer(place);
    let untold = 'no running Stopgap answers';
    const asked = async <T>(ask: (client: ApiClient) => Promise<T>): Promise<T | undefined> =>
      server === undefined
        ? undefined
        : askedIfThere(io, options, ask, ({ message }) => {
            untold = message;
          });
    const rules = await asked((client) => client.get('/api/v1/rules'));
    const overview = await asked((client) => client.get('/api/v1/overview'));
    const notices =
      config.notices.channels.length === 0
        ? undefined
        : await asked((client) => client.get('/api/v1/notices'));
    const told = { server, untold, rules, overview, notices };
    const world: World = { loaded, clock: io.clock, asked: place, ...told, store };
    await Promise.all(
      Object.entries(LOOKS).map(async ([name, look]) => {
        const told = findings.get(name as CheckName)!;
        const why = needless(told.check, config);
        if (why !== undefined) told.notTried(why);
        else await guarded(look, told, world);
      }),
    );
  }
  return [...findings.values()].flatMap(({ list }) => list);
}

/** What serve reads at the start besides the configuration. */
const READ_AT_THE_START = ['accounts', 'rules', 'overrides', 'geoip', 'hooks', 'tls'] as const;

/** What the start may find better than it is now. */
const MAY_COME_LATER: readonly (readonly [CheckName, Check])[] = [
  ['logins', checkLogins],
  ['ports', checkPolicySocket],
  ['disk', checkDisk],
];

/**
 * What is wrong, or odd, with the files that a configuration names. Of servers only the one that checks logins is asked. It
 * may be away when the configuration is written, the folder of a socket may be made at the start (`RuntimeDirectory=`), and a disk be mounted.
 */
export async function examineFiles(loaded: LoadedConfig, clock: Clock): Promise<Finding[]> {
  const world: World = {
    loaded,
    clock,
    asked: undefined,
    server: undefined,
    untold: 'no running Stopgap is asked',
    rules: undefined,
    overview: undefined,
    notices: undefined,
    store: undefined,
  };
  const found: Finding[] = [];
  for (const check of READ_AT_THE_START) {
    if (needless(check, loaded.config) !== undefined) continue;
    const findings = new Findings(check);
    await guarded(LOOKS[check]!, findings, world);
    found.push(...findings.list);
  }
  for (const [check, look] of MAY_COME_LATER) {
    if (needless(check, loaded.config) !== undefined) continue;
    const findings = new Findings(check);
    await guarded(look, findings, world);
    for (const one of findings.list)
      found.push(one.outcome === 'problem' ? { ...one, outcome: 'warning' } : one);
  }
  return found;
}

/** A check that fails is a finding too. */
async function guarded(look: Check, findings: Findings, world: World): Promise<void> {
  try {
    await look(findings, world);
  } catch (error) {
    findings.problem(`could not be looked at: ${pathFault(error) ?? messageOf(error)}`);
  }
}

function configuration(findings: Findings, io: CliIo, { config }: ConfigOption): LoadedConfig | undefined {
  try {
    const loaded = loadConfig({ file: config, env: io.env, cwd: io.cwd });
    for (const warning of loaded.warnings) findings.warning(warning);
    const from = loaded.file ?? 'the environment alone';
    findings.ok(
      loaded.evaluation ? 'none: the evaluation set-up' : `${from}, roles ${loaded.config.roles.join(', ')}`,
    );
    return loaded;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) findings.problem(problem);
    return undefined;
  }
}
