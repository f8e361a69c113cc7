/**
 * The built-in rules. Each sender is measured by its baseline. They stop a flood within its first dozens of recipients
 * and only propose what may be legitimate. docs/inside/detection.md says where the numbers come from.
 */
export const DEFAULT_RULES = `# The rule set that is in force where no rules file is configured.
version: 1
mode: enforce
maxAutomaticBlocks: 20 in 10m
learning: { days: 5, age: 7d, installation: 31d }

rules:
  - id: minute
    description: More messages within a minute than anybody writes
    per: account
    count: messages
    window: 1m
    limit: { baseline: 1.5x, record: 1.25x, floor: 8 }
    then: block
    for: 4h
    escalate: { factor: 12, max: 3d, forget: 14d }

  - id: hour
    description: More messages within an hour than this sender writes
    per: account
    count: messages
    window: 1h
    limit: { record: 2x, plus: 15, start: 40 }
    then: block
    for: 24h

  - id: day
    description: Far more messages within a day than this sender writes
    per: account
    count: messages
    window: 24h
    limit: { record: 3x, plus: 32, rise: 27 }
    then: block
    for: 24h
    escalate: { factor: 7, max: 7d, forget: 14d }
    renewWhileTrying: true

  - id: elsewhere
    description: More messages within a day than this sender writes, from where it never was
    per: account
    count: messages
    window: 24h
    limit: { record: 2x, plus: 10 }
    score:
      threshold: 2
      signals:
        - { newIp: true, points: 1 }
        - { newEhlo: true, points: 1 }
    then: block
    for: 24h
    escalate: { factor: 7, max: 7d, forget: 14d }
    renewWhileTrying: true

  - id: wide-minute
    description: A second message to many within a minute
    per: account
    count: recipients
    leaveOut: 1
    window: 1m
    limit: { baseline: 2x, record: 1.5x, largest: 1.5x, floor: 30 }
    then: block
    for: 2h
    escalate: { factor: 12, max: 24h, forget: 2d }

  - id: wide-hour
    description: A second message to many within an hour
    per: account
    count: recipients
    leaveOut: 1
    window: 1h
    limit: { record: 2.5x, plus: 40, rise: 80, start: 63 }
    then: block
    for: 24h
    escalate: { factor: 14, max: 14d, forget: 30d }

  - id: wide-day
    description: Messages to many all day long
    per: account
    count: recipients
    leaveOut: 1
    window: 24h
    limit: { record: 2x, plus: 100, rise: 250, start: 300 }
    then: block
    for: 24h
    escalate: { factor: 14, max: 14d, forget: 30d }
    renewWhileTrying: true

  - id: wide-all
    description: Far more recipients within a day than this sender writes to, be it by one message
    per: account
    count: recipients
    window: 24h
    limit: { record: 3x, plus: 400, rise: 250, start: 500 }
    then: block
    for: 24h
    escalate: { factor: 14, max: 14d, forget: 30d }
    renewWhileTrying: true

  - id: addresses
    description: One login from many networks at once under a new name, as a botnet uses it
    per: account
    count: networks
    window: 10m
    limit: 4
    when: { newEhlo: true }
    then: block
    for: 2h
    escalate: { factor: 12, max: 24h, forget: 2d }

  - id: paths
    description: One login with many return paths
    per: account
    count: returnPaths
    window: 1h
    limit: 5
    then: block
    for: 2h
    escalate: { factor: 12, max: 24h, forget: 2d }

  - id: together
    description: Many accounts of a domain that turn abnormal together
    per: domain
    count: accounts
    window: 30m
    limit: 4
    turned: { count: messages, window: 30m, limit: { baseline: 1x, record: 1x, floor: 2 }, alarm: 30m }
    then: block
    for: 24h

  - id: fleet
    description: Many accounts of several domains from one place where none of them ever was
    per: ip
    count: accounts
    window: 2h
    limit: 5
    then: block
    for: 4h
    escalate: { factor: 6, max: 24h, forget: 2d }

  - id: domain
    description: More recipients within an hour than a whole domain writes to
    per: domain
    count: recipients
    window: 1h
    limit: { baseline: 5x, record: 3x, floor: 500, start: 2000 }
    then: propose
    for: 4h
    lapse: 24h

  - id: strange
    description: More than usual, from where this sender never was
    per: account
    count: messages
    window: 10m
    limit: { baseline: 1.5x, record: 1.5x, floor: 7 }
    score:
      threshold: 2
      signals:
        - { newIp: true, points: 1 }
        - { newEhlo: true, points: 1 }
        - { dormantFor: 30d, points: 1 }
    then: propose
    for: 2h

  - id: start-first
    description: Very many recipients while nobody is known yet
    per: account
    count: recipients
    window: 24h
    limit: { baseline: 1.5x, record: 1.5x, floor: 2000 }
    when: { learning: true, installedWithin: 10d }
    then: block
    for: 2h
    teaches: true

  - id: start-second
    description: Many recipients of a sender that is not known yet
    per: account
    count: recipients
    window: 24h
    limit: { baseline: 1.5x, record: 1.5x, floor: 300 }
    when: { learning: true, installedFor: 10d, installedWithin: 31d }
    then: block
    for: 24h
    teaches: true

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

/**
 * The rules in force without any configuration, for a trial. On the first day nobody is known, and rules that use
 * baselines only propose; so a fixed limit is added, to show a block.
 */
export const EVALUATION_RULES = DEFAULT_RULES.replace(
  'rules:\n',
  `rules:
  - id: burst
    description: More recipients within minutes than a person writes to
    per: account
    count: recipients
    window: 10m
    limit: 100
    then: block
    for: 1h

`,
);
