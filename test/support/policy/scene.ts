import assert from 'node:assert/strict';
import { ActiveBlocks } from '../../../projections/blocks/active-blocks.js';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import { Exemptions } from '../../../projections/blocks/exemptions.js';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import type { ActiveBlock } from '../../../projections/blocks/active-blocks.js';
import type { PolicyContext } from '../../../src/policy/service.js';
import { PolicyService } from '../../../src/policy/service.js';
import type { PolicyRequest } from '../../../src/policy/request.js';
import { RequestReader } from '../../../src/policy/request.js';
import type { MessageAccepted, MessageHeld, MessageRefused } from '../../../src/sending/events.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import type { Appended } from '../../../src/store/port.js';
import { ManualClock, NOON } from '../manual-clock.js';
import { requestText } from './asking.js';
import { rulesChanged } from '../sends.js';

/** The reply to a sender that is blocked softly. */
export const SOFT = '451 4.3.2 Service temporarily unavailable, please try again later';

interface Setup {
  readonly refuse?: '451' | '450' | 'hold';
  readonly ownNetworks?: readonly string[];
  readonly block?: Partial<ActiveBlock>;
  readonly knows?: boolean;
  readonly isFull?: boolean;
  /** Of the rule that blocks by recipients. */
  readonly limit?: number;
}

/** A service with what it recorded. */
export class Scene {
  readonly sent: { id: string; key: string; data: MessageAccepted }[] = [];
  readonly held: { id: string; data: MessageHeld }[] = [];
  readonly refused: Partial<MessageRefused>[] = [];
  readonly counted: string[] = [];
  readonly faults: string[] = [];
  readonly putOff: { account: string; recipients: number; block: string | undefined }[] = [];
  /** What {@link PolicyContext.accepted} waits for. */
  inForce: Promise<void> | undefined;
  isHealthy = true;
  isBehind = false;
  readonly clock = new ManualClock();
  readonly blocks = new ActiveBlocks();
  readonly ledger = new BlockLedger();
  readonly full: { block: string; messages: number }[] = [];
  readonly service: PolicyService;
  #done: ((error: unknown, appended?: Appended) => void)[] = [];
  readonly #volume = new SendVolume();

  constructor({
    refuse = '451',
    ownNetworks = [],
    block,
    knows = true,
    isFull = false,
    limit = 100,
  }: Setup = {}) {
    const rule = `  - { id: burst, per: account, count: recipients, window: 10m, limit: ${limit}, then: block, for: 1h }`;
    this.#volume.apply(rulesChanged(rule, NOON, 1));
    const isHealthy = (): boolean => this.isHealthy;
    const isBehind = (): boolean => this.isBehind;
    if (block !== undefined) this.block(block);
    const trouble = { failed: (reason: string) => void this.faults.push(reason), worked: () => undefined };
    const context: PolicyContext = {
      settings: { refuse, ownNetworks },
      clock: this.clock,
      models: {
        refusing: this.blocks,
        ledger: this.ledger,
        sendVolume: this.#volume,
        exemptions: new Exemptions(),
      },
      store: {
        get healthy() {
          return isHealthy();
        },
      },
      accepted: () => this.inForce,
      onFull: (block, { messages }) => void this.full.push({ block, messages }),
      knows: () => knows,
      recorder: {
        get isBehind() {
          return isBehind();
        },
        refused: (data) => void this.refused.push(data),
        loginFailed: () => undefined,
        putOff: ({ account, recipients, block }) => void this.putOff.push({ account, recipients, block }),
        sent: (id, key, data, done) => {
          if (isFull) return false;
          this.sent.push({ id, key, data });
          this.#done.push(done);
          return true;
        },
        held: (id, data, done) => {
          if (isFull) return false;
          this.held.push({ id, data });
          this.#done.push(done);
          return true;
        },
      },
      metrics: {
        policy: {
          opened: () => undefined,
          closed: () => undefined,
          cut: () => undefined,
          answered: (stage, action) => void this.counted.push(`${stage} ${action}`),
          lost: (reason) => void this.counted.push(`lost ${reason}`),
        },
        smtp: {
          login: () => undefined,
          refused: (stage, reason) => void this.counted.push(`refused ${stage} ${reason}`),
          accepted: (direction, recipients) => void this.counted.push(`accepted ${direction} ${recipients}`),
        },
      },
      placeOf: () => ({ country: 'DE' }),
      senders: () => ({ kind: 'own' }),
      contact: 'postmaster@example.com',
      lost: trouble,
      failed: trouble,
    };
    this.service = new PolicyService(context);
  }

  block(block: Partial<ActiveBlock>): void {
    const subject = parseSubject('account', 'alice@example.com');
    this.blocks.restore([
      { id: 'b1', ...subject, direction: 'all', until: null, refusal: 'soft', byRule: true, ...block },
    ]);
  }

  ask(attributes: Readonly<Record<string, string>> = {}): string {
    const requests: PolicyRequest[] = [];
    new RequestReader((request) => void requests.push(request)).read(Buffer.from(requestText(attributes)));
    return this.service.answer(requests[0]!);
  }

  /** Asks about a message that is held. */
  hold(instance: string, attributes: Readonly<Record<string, string>> = {}): void {
    assert.equal(this.ask({ ...attributes, instance }), 'HOLD');
    assert.equal(this.ask({ ...END, ...attributes, instance }), 'DUNNO');
  }

  /** The store has written what was sent, or not. */
  settle(error?: unknown): void {
    for (const [revision, done] of this.#done.splice(0).entries())
      done(error, error === undefined ? { revision, position: 1, duplicate: false } : undefined);
  }
}

export const END = {
  protocol_state: 'END-OF-MESSAGE',
  recipient: '',
  recipient_count: '2',
  size: '4711',
  queue_id: '4ABC',
};
