import assert from 'node:assert/strict';
import { test } from 'node:test';
import { actorName } from '../../../src/kernel/actor.js';

test('who did something has a name for people, in every form that an event has', () => {
  for (const [by, name] of [
    ['admin:alice', 'alice'],
    ['admin:rule:x', 'rule:x'],
    ['rule:burst@3', 'rule burst'],
    ['rule:burst', 'rule burst'],
    ['system:expiry', 'Stopgap'],
    ['system:constructor', 'Stopgap'],
    ['system:rules-file', 'the rules file'],
    ['system:overrides-file', 'the overrides file'],
    ['smtp:mx1.example.com', 'Stopgap at mx1.example.com'],
    ['policy:mx1.example.com', 'Stopgap at mx1.example.com'],
    ['server:postfix', 'mail server postfix'],
    ['', ''],
    ['somebody', 'somebody'],
    ['other:thing', 'other:thing'],
  ] as const)
    assert.equal(actorName(by), name, by);
});
