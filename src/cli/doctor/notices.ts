import { lookup } from 'node:dns/promises';
import { isRefusedTarget } from '../../config/notices.js';
import type { Channel, Config } from '../../config/schema.js';
import { printable } from '../../kernel/printable.js';
import type { Schemas } from '../client.js';
import { counted } from '../io.js';
import type { Findings, World } from './findings.js';
import { patiently } from './findings.js';

/** Whether notices can reach their channels, and did. Nothing is sent, and no URL is told: each may be a secret. */
export async function checkNotices(findings: Findings, { loaded, notices, untold }: World): Promise<void> {
  const { config } = loaded;
  await Promise.all(config.notices.channels.map((channel) => checkHost(findings, channel, config)));
  if (notices === undefined) {
    findings.notTried(`what became of notices: ${untold}`);
    return;
  }
  for (const { name, disabled, stuck, dead, notices: last } of notices.channels) {
    if (disabled)
      findings.warning(
        `${name} is disabled: its receiver wants no more (410), and what happens gathers`,
        `see to its URL, then stopgap notify test ${name}`,
      );
    if (stuck > 0)
      findings.warning(
        `${name} has ${counted(stuck, 'receiver')} that did not take the last notices, and what happens only gathers there${whyOf(last, 'waiting')}`,
        'stopgap notify list says whom they are to: see to that URL, or to the mail server',
      );
    if (dead === 0) continue;
    findings.warning(
      `${name} gave up ${counted(dead, 'notice')}${whyOf(last, 'dead')}`,
      'stopgap notify list shows them, stopgap notify resend sends them again',
    );
  }
}

/** The newest error of those that wait, or were given up. */
function whyOf(notices: readonly Schemas['Notice'][], wanted: Schemas['Notice']['state']): string {
  const error = notices.find((one) => one.state === wanted && one.error !== null)?.error ?? null;
  return error === null ? '' : `: ${printable(error)}`;
}

async function checkHost(findings: Findings, channel: Channel, config: Config): Promise<void> {
  const { name } = channel;
  const host = hostOf(channel, config);
  if (host === undefined) {
    findings.notTried(`where ${name} leads: it is no host`);
    return;
  }
  try {
    const addresses = await patiently(lookup(host, { all: true }), 'no answer about a name');
    // A mail server may be anywhere: only URLs are refused these.
    if (channel.type !== 'mail' && addresses.some(({ address }) => isRefusedTarget(address)))
      findings.problem(
        `the host of ${name} is a link-local, multicast or metadata address, which no notice is sent to`,
        'name another URL',
      );
    else findings.ok(`the host of ${name} has an address; nothing was sent`);
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    findings.problem(
      `the host of ${name} has no address (${typeof code === 'string' ? code : 'no answer'})`,
      'see to its URL, and to the DNS of this machine',
    );
  }
}

function hostOf({ type, url, smtp }: Channel, config: Config): string | undefined {
  if (type !== 'mail') return new URL(url!.secret).hostname.replace(/^\[|\]$/g, '');
  const { target } = smtp ?? config.smtp.relay;
  return 'maildir' in target || 'path' in target.address ? undefined : target.address.host;
}
