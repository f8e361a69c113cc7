import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

const PAGES = [
  'README.md',
  'HACKING.md',
  'CHANGELOG.md',
  'bench/detection/README.md',
  'deploy/secrets/README.md',
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** What a page can be linked at: its headings, and the names that it gives to places itself. */
function anchorsOf(page: string): ReadonlySet<string> {
  const text = readFileSync(page, 'utf8').replace(/^ *```[^]*?^ *```$/gm, '');
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .replace(/<[^>]*>/g, '')
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .trim()
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  );
  const named = [...text.matchAll(/<a id="([^"]+)">/g)].map(([, name]) => name!);
  return new Set([...headings, ...named]);
}

describe('the links of the documents', () => {
  for (const page of PAGES)
    test(`${page} leads to files and headings that exist`, () => {
      const text = readFileSync(page, 'utf8').replace(/^ *```[^]*?^ *```$/gm, '');
      for (const [link, target = '', anchor] of text.matchAll(
        /\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)/g,
      )) {
        const file = target === '' ? page : path.join(path.dirname(page), target);
        assert.ok(existsSync(file), `${link}: no such file`);
        if (anchor !== undefined && file.endsWith('.md'))
          assert.ok(anchorsOf(file).has(anchor), `${link}: no such heading`);
      }
    });
});
