// tsc writes plain files: the command line must be executable to be linked as `stopgap`.
import { chmodSync, existsSync } from 'node:fs';

const main = new URL('../dist/src/main.js', import.meta.url);
if (existsSync(main)) chmodSync(main, 0o755);
