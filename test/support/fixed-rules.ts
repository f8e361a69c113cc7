/**
 * Fixed limits over few windows: what is tested of sessions, stores and screens does not depend on how good the rules
 * are that ship.
 */
export const FIXED_RULES = `version: 1
mode: enforce
maxAutomaticBlocks: 20 in 10m

rules:
  - id: burst
    description: More recipients within minutes than a person writes to
    per: account
    count: recipients
    window: 10m
    limit: 100
    then: block
    for: 1h
    escalate: { factor: 4, max: 7d, forget: 30d }

  - id: day
    description: More recipients within a day than is usual for a mailbox
    per: account
    count: recipients
    window: 24h
    limit: 1000
    then: propose
    for: 24h

  - id: list-quality
    description: Many recipients that do not exist, as bought or guessed lists have them
    per: account
    count: refusedRecipients
    window: 1h
    limit: 50
    then: block
    for: 4h
    escalate: { factor: 4, max: 7d, forget: 30d }

  - id: backscatter
    description: Many bounces of what an account has sent
    per: account
    count: bounces
    window: 1h
    limit: 100
    then: propose
    for: 24h

  - id: domain
    description: More recipients within an hour than is usual for a whole domain
    per: domain
    count: recipients
    window: 1h
    limit: 2000
    then: propose
    for: 4h
    lapse: 24h

  - id: guessing
    description: Many wrong passwords from one network
    per: ip
    count: authFailures
    window: 15m
    limit: 60
    then: block
    for: 1h
    escalate: { factor: 4, max: 7d, forget: 30d }
`;
