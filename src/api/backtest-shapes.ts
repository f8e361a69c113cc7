import { z } from 'zod';
import type { BacktestReport } from '../backtest/report.js';
import { subjectShape } from './shapes.js';

/* What the API gives of back-tests. docs/run/backtest.md explains the report, which the command line gives too. */

const instant = z.string().meta({ format: 'date-time' });
const count = z.int();
const share = z.number().meta({ description: 'From 0 to 1.' });

const mail = z
  .object({ messages: count, recipients: count })
  .meta({ id: 'Mail', description: 'Messages, and how many recipients they had.' });

const judgement = z.enum(['right', 'wrong']).nullable();

const caseShape = z
  .object({
    subject: subjectShape,
    action: z.enum(['block', 'propose']),
    rule: z.string(),
    proposedAt: instant.nullable(),
    blockedAt: instant.nullable(),
    until: instant.nullable(),
    ended: z.enum(['expired', 'released', 'lapsed', 'dismissed']).nullable(),
    endedAt: instant.nullable(),
    evidence: z.object({
      count: z.string(),
      window: z.string(),
      limit: z.number(),
      observed: z.number(),
      sentence: z.string(),
    }),
    sentThatDay: mail.nullable(),
    refused: mail,
    judged: judgement,
    shared: z.boolean().nullable(),
  })
  .meta({ id: 'BacktestCase', description: 'One block or proposal.' });

const attackScore = {
  attacks: count,
  absent: count,
  contained: count,
  leakedMedian: z.number(),
  leakedP95: z.number(),
  leakedShare: share,
};

const score = z.object({
  ...attackScore,
  byKind: z.record(z.string(), z.object(attackScore)),
  senderDays: count,
  blocks: count,
  wrongBlocks: count,
  wrongBlocksPer1000SenderDays: z.number(),
  proposals: count,
  proposalsPer1000SenderDays: z.number(),
  cleanMessages: count,
  cleanStoppedShare: share,
  ownersStoppedShare: share,
  bulkStoppedShare: share,
});

const candidate = z
  .object({
    rules: z.string(),
    mode: z.enum(['enforce', 'observe']),
    accepted: mail,
    refused: mail,
    attempts: z.object({ refused: count, letThrough: count }),
    blocks: count,
    proposals: count,
    right: count,
    wrong: count,
    byRule: z.array(
      z.object({
        rule: z.string(),
        blocks: count,
        proposals: count,
        observed: count,
        exempted: count,
        right: count,
        wrong: count,
        refused: mail,
      }),
    ),
    cases: z.array(caseShape),
    casesLeftOut: count,
    score: score.nullable(),
  })
  .meta({ id: 'BacktestCandidate', description: 'What one rule set would have done.' });

const sides = z.object({ shared: count, only: count });

export const reportShape = z
  .object({
    source: z.string(),
    begins: instant.nullable().meta({ description: 'When the first thing happened that is recorded.' }),
    ends: instant.nullable().meta({ description: 'When the last thing happened that is recorded.' }),
    from: instant.nullable(),
    to: instant.nullable(),
    sends: mail,
    senders: count,
    senderDays: count,
    imported: count,
    skipped: count,
    skippedFor: z.string().nullable(),
    labelled: z.object({ messages: count, missing: count }).nullable(),
    candidates: z.array(candidate),
    comparison: z
      .object({
        refused: z.object({ onlyFirst: mail, onlySecond: mail, both: mail }),
        blocks: z.object({ first: sides, second: sides }),
      })
      .nullable(),
  })
  .meta({ id: 'BacktestReport' }) satisfies z.ZodType<BacktestReport>;

export const backtestShape = z
  .object({
    id: z.string(),
    state: z.enum(['running', 'done', 'cancelled', 'failed']),
    by: z.string().meta({ examples: ['admin:alice'] }),
    from: instant.nullable(),
    to: instant.nullable(),
    startedAt: instant,
    endedAt: instant.nullable(),
    progress: z
      .object({
        share: share.meta({ description: 'How much of the history has been gone through, from 0 to 1.' }),
        at: instant.nullable().meta({ description: 'How far time has come.' }),
        messages: count,
        refused: count,
      })
      .nullable()
      .meta({ description: 'Null before the first.' }),
    error: z.string().nullable().meta({ description: 'Why it failed.' }),
    report: reportShape.nullable().meta({ description: 'Once it is done.' }),
  })
  .meta({ id: 'Backtest' });

export type BacktestJson = Omit<z.infer<typeof backtestShape>, 'report'> & {
  readonly report: BacktestReport | null;
};
