import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { senderVolumeRoute } from '../../../src/api/sender-volume.js';
import { LongReads } from '../../../src/api/long-reads.js';
import type { ApiRequest } from '../../../src/api/http/route.js';
import { formatInstant, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { ApiServer } from '../../support/api/server.js';

interface Series {
  readonly available: boolean;
  readonly note: string | null;
  readonly step: string;
  readonly items: readonly { readonly at: string; readonly messages: number; readonly recipients: number }[];
  readonly coveredUntil: string | null;
  readonly keptSince: string | null;
}

describe('what an account sent over time', () => {
  let server: ApiServer;
  let begin = 0;
  before(async () => {
    server = await ApiServer.start();
    begin = server.clock.now();
    for (const recipients of [1, 2, 3, 4]) {
      await server.sent('series@example.com', recipients);
      server.clock.advance(10 * MINUTE);
    }
    await server.sent('other@example.com', 9);
  });
  after(() => server.stop());

  const series = async (query: string, whose = 'account/Series@example.com'): Promise<Series> => {
    const reply = await server.get(`/api/v1/senders/${whose}/volume?${query}`, { role: 'viewer' });
    assert.equal(reply.status, 200, reply.text);
    return reply.json as unknown as Series;
  };

  test('has a step for each time, also where there was nothing, and ends before `to`', async () => {
    const from = formatInstant(begin - 20 * MINUTE);
    const { items, step } = await series(`from=${from}&to=${formatInstant(begin + 30 * MINUTE)}`);
    assert.equal(step, '10m');
    assert.equal(items[0]!.at, from);
    assert.deepEqual(
      items.map(({ recipients }) => recipients),
      [0, 0, 1, 2, 3],
    );
    const wide = await series(`from=${from}&to=${formatInstant(begin + 40 * MINUTE)}&step=30m`);
    assert.deepEqual(
      wide.items.map(({ messages, recipients }) => [messages, recipients]),
      [
        [1, 1],
        [3, 9],
      ],
    );
  });

  test('says since when sends are kept where it begins earlier', async () => {
    const { retention } = server.deps;
    const kept = server.clock.now() - retention.sends;
    const { keptSince } = await series(`from=${formatInstant(kept - HOUR)}&to=${formatInstant(kept + HOUR)}`);
    assert.equal(keptSince, formatInstant(kept));
    assert.equal((await series(`from=${formatInstant(kept)}&step=2d`)).keptSince, null);
  });

  test('is of the last day unless said otherwise', async () => {
    const { items } = await series('step=1h');
    assert.equal(items.length, 24);
    assert.equal(
      items.reduce((sum, { recipients }) => sum + recipients, 0),
      10,
    );
  });

  test('is kept of accounts alone, and of so many steps', async () => {
    const domain = await series('', 'domain/example.com');
    assert.deepEqual([domain.available, domain.items], [false, []]);
    assert.match(domain.note!, /kept by account/);
    const target = '/api/v1/senders/account/series@example.com/volume';
    assert.equal((await server.get(`${target}?step=1s`)).json.errors[0].field, 'step');
    const now = formatInstant(begin);
    assert.equal((await server.get(`${target}?from=${now}&to=${now}`)).json.errors[0].field, 'from');
  });

  test('says until when it counts if there are too many events to read', async () => {
    const route = senderVolumeRoute(server.deps, new LongReads(), 2);
    const asked = {
      params: { type: 'account', value: 'series@example.com' },
      query: { step: HOUR },
      concerns: () => true,
      caller: { name: 'viewer' },
      response: {},
    } as unknown as ApiRequest<unknown, unknown>;
    const { body } = (await route.handle(asked))!;
    assert.equal((body as Series).coveredUntil, formatInstant(begin + 10 * MINUTE));
  });
});
