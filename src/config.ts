/** File and environment -> validated configuration. */
export { ConfigError } from './accounts/problems.js';
export { listensOnLoopback } from './config/build.js';
export type { Evaluation } from './config/evaluation.js';
export { DEMO_ACCOUNT, DEMO_TOKEN, setUpEvaluation } from './config/evaluation.js';
export type { LoadOptions } from './config/load.js';
export { DEFAULT_FILE, loadConfig } from './config/load.js';
export { redactedConfig } from './config/redact.js';
export { formatRelay } from './config/relay.js';
export type { Setting } from './config/settings.js';
export { environmentName, listSettings, OTHER_VARIABLES } from './config/settings.js';
export type {
  Config,
  InboundListener,
  ListenAddress,
  LoadedConfig,
  LogLevel,
  LogSettings,
  RelaySettings,
  SubmissionListener,
  TlsMode,
  TlsSettings,
  TracingSettings,
} from './config/types.js';
export { formatListen } from './config/types.js';
