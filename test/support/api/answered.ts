type Some<Item> = readonly [Item, ...Item[]];

/**
 * Every field that some answer of the API has, so that a test can name it: one that an answer does not have is
 * undefined at run time and fails its assertion. What shapes answers really have, the API's own schemas say.
 */
export interface Answered {
  readonly activeBlocks: number;
  readonly already: string | null;
  readonly amount: number;
  readonly at: string;
  readonly auth: Stage;
  readonly available: boolean;
  readonly block: Answered;
  readonly blocks: Some<Answered>;
  readonly by: string;
  readonly code: string;
  readonly column: number;
  readonly correlation: string;
  readonly current: Answered;
  readonly data: Answered;
  readonly description: string;
  readonly detail: string;
  readonly direction: string;
  readonly duration: string;
  readonly endedAt: string;
  readonly errors: Some<{ readonly field: string; readonly message: string }>;
  readonly escalate: unknown;
  readonly evidence: Answered;
  readonly exemption: Answered;
  readonly exemptions: Some<Answered>;
  readonly falsePositive: boolean;
  readonly faults: Some<{ readonly line: number; readonly path: string; readonly message: string }>;
  readonly follows: Answered;
  readonly for: string;
  readonly history: Some<Answered>;
  readonly historyLeftOut: number;
  readonly id: string;
  readonly indefinite: boolean;
  readonly instance: string;
  readonly items: Some<Answered>;
  readonly limit: number;
  readonly behind: unknown;
  readonly failedLogins: unknown;
  readonly installedAt: string;
  readonly line: number;
  readonly mail: Stage;
  readonly matching: Some<Answered>;
  readonly maxAutomaticBlocks: string;
  readonly method: string;
  readonly mode: string;
  readonly needed: string;
  readonly next: string | null;
  readonly note: string;
  readonly observed: number;
  readonly origin: string;
  readonly path: string;
  readonly position: number;
  readonly problem: { readonly code: string; readonly detail: string };
  readonly proposal: Answered;
  readonly proposals: Some<Answered> | null;
  readonly rcpt: Stage;
  readonly reason: string;
  readonly recipients: number;
  readonly refusal: string;
  readonly refusals: Some<Answered>;
  readonly refused: boolean;
  readonly release: string;
  readonly replaced: Answered | null;
  readonly dismissed: string | null;
  readonly requestId: string;
  readonly rule: string;
  readonly rules: Some<Answered>;
  readonly saved: number;
  readonly sends: Answered;
  readonly sentence: string;
  readonly since: string;
  readonly sinceTrip: number | null;
  readonly source: string;
  readonly standing: Answered;
  readonly state: string;
  readonly status: number;
  readonly subject: { readonly type: string; readonly value: string };
  readonly total: number;
  readonly type: string;
  readonly until: string;
  readonly valid: boolean;
  readonly version: number;
  readonly warnings: readonly string[];
  readonly window: string;
  readonly windows: Some<Answered>;
}

interface Stage {
  readonly outcome: string;
  readonly block: string;
  readonly reply: string;
}
