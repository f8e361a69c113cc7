/** What the contract suite cannot ask of KurrentDB, with the reasons that its skips print. */
export const KURRENTDB_LIMITS = {
  clock:
    "recordedAt is by the server's own clock, and what is too old goes by the server's scavenge: sweep takes nothing",
  idempotence:
    'KurrentDB looks for an id in one place only: where the expected revision says, or in a memory cache under `any`',
} as const;
