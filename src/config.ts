/** File and environment -> validated configuration. */
export { ConfigError } from './accounts/problems.js';
export { listensOnLoopback } from './config/build.js';
export type { Evaluation } from './config/evaluation.js';
export { DEMO_ACCOUNT, setUpEvaluation } from './config/evaluation.js';
export { loadConfig } from './config/load.js';
export { redactedConfig } from './config/redact.js';
export { environmentName, listSettings, OTHER_VARIABLES } from './config/settings.js';
export type {
  Config,
  ListenAddress,
  LoadedConfig,
  LogLevel,
  LogSettings,
  TlsMode,
  TlsSettings,
  TracingSettings,
} from './config/types.js';
export { formatListen } from './config/types.js';
