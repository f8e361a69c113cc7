// Installs the programs that the tests start, if they are missing and this user may: with apt-get (as root, or with
// sudo that asks for no password) or with brew. Does nothing if all are there. Ends with 1 if an installation failed.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';

/** Programs, under any of their names, with the package that has them; no package: there is none. */
const NEEDED = [
  { names: ['redis-server'], apt: 'redis-server', brew: 'redis' },
  { names: ['prometheus'], apt: 'prometheus', brew: 'prometheus' },
  { names: ['promtool'], apt: 'prometheus', brew: 'prometheus' },
  { names: ['prometheus-alertmanager', 'alertmanager'], apt: 'prometheus-alertmanager' },
  { names: ['amtool'], apt: 'prometheus-alertmanager' },
  { names: ['postfix'], apt: 'postfix' },
  { names: ['dovecot'], apt: 'dovecot-core' },
  { names: ['rspamd'], apt: 'rspamd' },
  { names: ['fail2ban-regex'], apt: 'fail2ban' },
  { names: ['haproxy'], apt: 'haproxy' },
  { names: ['swaks'], apt: 'swaks', brew: 'swaks' },
  // A browser for the page, without windows where there is one. Of Chrome on macOS the tests find the application.
  { names: ['chromium-headless-shell', 'google-chrome'], apt: 'chromium-headless-shell' },
  // Linux only.
  ...(process.platform === 'linux' ? [{ names: ['strace'], apt: 'strace' }] : []),
];

/** Debian lets nobody have two mail servers: this one is only unpacked, into a folder where the tests look. */
const EXIM = { name: 'exim4-daemon-heavy', folder: '/usr/local/lib/stopgap-tests/exim', user: 'Debian-exim' };

/** Asked by Debian's packages whether they may start their services: 101 says no. */
const POLICY = '/usr/sbin/policy-rc.d';

// Where Debian keeps servers, whether or not this user's shell looks there.
const folders = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/sbin'];
const has = (name) => folders.some((folder) => existsSync(path.join(folder, name)));
const say = (line) => process.stdout.write(`${line}\n`);

const missing = NEEDED.filter(({ names }) => !names.some(has));
const tool = has('apt-get') ? 'apt' : has('brew') ? 'brew' : undefined;
const packages = [...new Set(missing.map((program) => program[tool]).filter((name) => name !== undefined))];
const byHand = missing.filter((program) => program[tool] === undefined).map(({ names }) => names[0]);

const lacksExim = tool === 'apt' && !has('exim4') && !existsSync(path.join(EXIM.folder, 'usr/sbin/exim4'));

if (missing.length === 0 && !lacksExim) say('The tests have all the programs that they start.');
if (byHand.length > 0)
  say(`To be installed by hand: ${byHand.join(', ')}. Until then the tests that need them are skipped.`);
if (packages.length > 0 || lacksExim) install();

function install() {
  const sudo = tool === 'brew' || process.getuid() === 0 ? [] : ['sudo', '-n'];
  if (sudo.length > 0 && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status !== 0) {
    say(
      `Not root, and no sudo without a password. To install what is missing: sudo apt-get install ${packages.join(' ')}`,
    );
    return;
  }
  say(`Installing ${[...packages, ...(lacksExim ? [EXIM.name] : [])].join(', ')}`);
  const run = (...command) => {
    const [file, ...args] = [...sudo, ...command];
    execFileSync(file, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  };
  try {
    if (tool === 'brew') run('brew', 'install', '--quiet', ...packages);
    else withoutServices(run, () => aptGet(run));
  } catch (error) {
    say(`${error.message}. Without them the tests that need them are skipped.`);
    process.exitCode = 1;
  }
}

/** Fails within minutes if no mirror answers. */
function aptGet(run) {
  const patience = [
    '-o',
    'Acquire::Retries=1',
    '-o',
    'Acquire::http::Timeout=20',
    '-o',
    'DPkg::Lock::Timeout=120',
  ];
  const quietly = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', ...patience];
  run(...quietly, 'update');
  const add = (names) => run(...quietly, 'install', '--yes', '--no-install-recommends', ...names);
  if (packages.length > 0) add(packages);
  if (!lacksExim) return;
  const { Depends } = Object.fromEntries(
    execFileSync('apt-cache', ['show', '--no-all-versions', EXIM.name], { encoding: 'utf8' })
      .split('\n')
      .map((line) => line.split(/: (.*)/s)),
  );
  // Libraries only: not what would make it this host's mail server.
  add(Depends.match(/(?<![\w.-])lib[\w.+-]+/g));
  const unpack = `umask 022; d=$(mktemp -d) && chmod 755 $d && cd $d && apt-get -qq -o APT::Sandbox::User=root download ${EXIM.name} &&
    mkdir -p ${EXIM.folder} && dpkg-deb -x ${EXIM.name}_*.deb ${EXIM.folder} && rm -r $d &&
    chmod u-s ${EXIM.folder}/usr/sbin/exim4`;
  run('sh', '-c', unpack);
  run('sh', '-c', `id ${EXIM.user} >/dev/null 2>&1 || useradd --system --no-create-home ${EXIM.user}`);
}

/** The tests start what they need themselves, on their own ports: this starts nothing, now or at the next boot. */
function withoutServices(run, act) {
  const ours = !existsSync(POLICY);
  if (ours) run('sh', '-c', `printf '#!/bin/sh\\nexit 101\\n' >${POLICY} && chmod 755 ${POLICY}`);
  try {
    act();
  } finally {
    if (ours) run('rm', '-f', POLICY);
  }
  // Debian names a service as its package or its program.
  const names = new Set([...packages, ...missing.flatMap((program) => program.names)]);
  const services = [...names].filter((name) => existsSync(`/lib/systemd/system/${name}.service`));
  if (has('systemctl') && services.length > 0) run('systemctl', '--quiet', 'disable', ...services);
}
