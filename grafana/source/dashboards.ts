import type { Dashboard } from '@grafana/schema';
import { blocks, falsePositives, restarts, rulesChanged } from './annotations.js';
import { dashboard } from './dashboard.js';
import { abuse } from './rows/abuse.js';
import { http } from './rows/api.js';
import { contained } from './rows/containment.js';
import { machine } from './rows/machine.js';
import { policy } from './rows/policy.js';
import { processes } from './rows/processes.js';
import { rules } from './rows/rules.js';
import { sent } from './rows/sent.js';
import { shadow } from './rows/shadow.js';
import { smtp } from './rows/smtp.js';
import { store } from './rows/store.js';
import { notices } from './rows/notices.js';
import { timedWork } from './rows/timed-work.js';
import { wrongOnes } from './rows/wrong-ones.js';
import { api, datasource, docs, instance, job, quantile, rule, window } from './variables.js';

/** All dashboards, by the name of their file. */
export const DASHBOARDS: Readonly<Record<string, Dashboard>> = {
  'overview.json': dashboard({
    uid: 'stopgap-overview',
    title: 'Stopgap: overview',
    description: 'Is anyone abusing us? Are we blocking the wrong ones? Is the machine well?',
    from: 'now-6h',
    variables: [datasource, job, api, docs],
    annotations: [blocks, falsePositives, rulesChanged],
    rows: [abuse, wrongOnes, machine],
  }),
  'senders-and-rules.json': dashboard({
    uid: 'stopgap-senders-and-rules',
    title: 'Stopgap: senders and rules',
    description:
      'What is sent and refused, how fast abusers are contained, what each rule did, and whether it was right.',
    from: 'now-24h',
    variables: [datasource, job, rule, window, quantile, api, docs],
    annotations: [blocks, falsePositives, rulesChanged],
    rows: [sent, contained, rules, shadow],
  }),
  'operation.json': dashboard({
    uid: 'stopgap-operation',
    title: 'Stopgap: operation',
    description: 'Is the machine well? SMTP, API, store, timed work and processes, one by one.',
    from: 'now-3h',
    variables: [datasource, job, instance, window, quantile, api, docs],
    annotations: [blocks, rulesChanged, restarts],
    rows: [smtp, policy, http, store, timedWork, notices, processes],
  }),
};
