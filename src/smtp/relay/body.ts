export type { MessageBody } from './port.js';
