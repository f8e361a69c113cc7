import { BACKENDS } from '../../support/auth/backends.js';
import { contract } from './suite.js';

for (const backend of BACKENDS) contract(backend);
