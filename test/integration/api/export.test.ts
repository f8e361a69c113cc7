import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { csvLine } from '../../../src/api/export.js';
import { ReadModels } from '../../../src/detector/read-models.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { ApiServer } from '../../support/api/server.js';
import { changed } from '../../support/store/changed.js';

test('a cell that a spreadsheet would run is made harmless, and a cell is quoted where it must be', () => {
  assert.equal(
    csvLine(['=1+1', '+1', '-1', '@SUM(A1)', '\tx', 'a=b']),
    "'=1+1,'+1,'-1,'@SUM(A1),'\tx,a=b\r\n",
  );
  assert.equal(
    csvLine(['a,b', 'say "yes"', 'two\nlines', null, 5, true]),
    '"a,b","say ""yes""","two\nlines",,5,true\r\n',
  );
  // Where a semicolon parts cells, quotes within a line part nothing.
  assert.equal(csvLine(['x;=1', 'a\n@b', 'a-b;c']), `x;'=1,"a\n'@b",a-b;c\r\n`);
  // Some spreadsheets take these for the narrow ones.
  assert.equal(csvLine(['＝1+1', '＋1', '－1', '＠a', 'x;＝1']), "'＝1+1,'＋1,'－1,'＠a,x;'＝1\r\n");
  assert.equal(csvLine(['="a"']), `"'=""a"""\r\n`);
});

test('a cell shows what a person would not see or would see turned round, also before a formula', () => {
  assert.equal(csvLine(['a\u202emoc@c.example', 'a\u200bb']), 'a\ufffdmoc@c.example,a\ufffdb\r\n');
  assert.equal(csvLine(['two\r\n=1']), `"two\n'=1"\r\n`);
});

describe('an export', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
    for (let n = 0; n < 120; n++)
      await server.block(`n${n}@example.com`, { description: n === 0 ? '=cmd|calc' : 'case, closed' });
  });
  after(() => server.stop());

  test('of blocks as CSV has a header and all that match, more than a page has', async () => {
    const reply = await server.get('/api/v1/blocks', { role: 'viewer', headers: { accept: 'text/csv' } });
    assert.match(reply.headers.get('content-type')!, /^text\/csv/);
    const lines = reply.text.split('\r\n');
    assert.match(lines[0]!, /^id,state,type,value,direction,/);
    assert.equal(lines.length, 122);
    assert.match(
      lines[1]!,
      /^[0-9a-f-]{36},active,account,n119@example\.com,outbound,admin,,soft,"case, closed",/,
    );
    assert.match(lines[120]!, /,'=cmd\|calc,/);
    const oldest = await server.get('/api/v1/blocks?format=csv&sort=oldest&q=n11');
    assert.equal(oldest.text.split('\r\n').length, 13);
    assert.match(oldest.text.split('\r\n')[1]!, /n11@example\.com/);
  });

  test('of blocks as NDJSON has a block a line, as the list has it', async () => {
    const reply = await server.get('/api/v1/blocks?format=ndjson&limit=5');
    assert.equal(reply.headers.get('content-type'), 'application/x-ndjson');
    const items = reply.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    assert.equal(items.length, 120);
    assert.deepEqual(items[0], (await server.get('/api/v1/blocks?limit=1')).json.items[0]);
  });

  test('of nothing is a header alone', async () => {
    const reply = await server.get('/api/v1/blocks?format=csv&q=nowhere');
    assert.equal(reply.text.split('\r\n').length, 2);
    assert.equal((await server.get('/api/v1/blocks?format=ndjson&q=nowhere')).text, '');
  });

  test('keeps to the orders in which blocks are kept', async () => {
    const reply = await server.get('/api/v1/blocks?format=csv&sort=subject');
    assert.deepEqual([reply.status, reply.json.errors[0].field], [400, 'sort']);
    assert.equal((await server.get('/api/v1/blocks?format=xml')).json.errors[0].field, 'format');
  });

  test('is 503 while the store is away, and is cut off where the store goes away half-way', async () => {
    let left = Infinity;
    const nothing = () => undefined;
    const models = new ReadModels(
      { onVerdict: nothing, onBlockEvent: nothing, onRulesChanged: nothing, onSkipped: nothing },
      { endedKept: 1 },
    );
    const other = await ApiServer.start((deps) => ({
      ...deps,
      models,
      store: changed(deps.store, {
        readStream: (...asked) => {
          if (left-- <= 0) throw new StoreUnavailable('the store is away');
          return deps.store.readStream(...asked);
        },
      }),
    }));
    await models.follow(other.deps.store);
    try {
      for (let n = 0; n < 210; n++) {
        const { id } = await other.block(`n${n}@example.com`);
        await other.post(`/api/v1/blocks/${id}/release`, {});
      }
      left = 0;
      assert.equal((await other.get('/api/v1/blocks?format=csv')).status, 503);
      left = 150;
      await assert.rejects(other.get('/api/v1/blocks?format=csv'), 'the connection is ended');
      left = Infinity;
      assert.equal((await other.get('/api/v1/blocks?format=csv')).text.split('\r\n').length, 212);
    } finally {
      left = Infinity;
      await other.stop();
      await models.stop();
    }
  });

  test('of changes has who, what and why, with cells that are harmless', async () => {
    const { id } = await server.block('why@example.com');
    await server.post(`/api/v1/blocks/${id}/release`, { note: '@evil' });
    const reply = await server.get('/api/v1/changes?format=csv&type=BlockReleased');
    const [head, line] = reply.text.split('\r\n');
    assert.match(head!, /^at,by,type,via,subjectType,subject,block,why,/);
    assert.match(line!, /,admin:the-admin,BlockReleased,api,account,why@example\.com,[0-9a-f-]{36},'@evil,/);
  });
});
