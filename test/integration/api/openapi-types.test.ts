import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import openapiTS, { astToString } from 'openapi-typescript';
import { openApi } from '../../../src/api/openapi.js';
import { ApiServer } from '../../support/api/server.js';

const FILE = 'src/api/openapi-types.d.ts';
const HEAD =
  '// Made from the OpenAPI document: STOPGAP_WRITE_GOLDEN=1 npm test -- openapi-types writes it anew.\n';

test('the types of the API that its clients use are those of its OpenAPI document', async () => {
  const server = await ApiServer.start();
  try {
    const document = JSON.parse(JSON.stringify(openApi(server.api.routes))) as Parameters<
      typeof openapiTS
    >[0];
    const types = HEAD + astToString(await openapiTS(document));
    if (process.env['STOPGAP_WRITE_GOLDEN'] === '1') writeFileSync(FILE, types);
    assert.ok(types === readFileSync(FILE, 'utf8'), `${FILE} is of another document: write it anew`);
  } finally {
    await server.stop();
  }
});
