import { existsSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { ROOT, texts } from './sources.js';
import type { Text } from './sources.js';

export interface Source extends Text {
  /** What it imports, in any form: a path like `file`, or a package's name. Types count too. */
  readonly imports: readonly string[];
}

const known = new Map<string, readonly string[]>();

/** Every TypeScript file under these folders, the page's components too. */
export function sources(...folders: readonly string[]): readonly Source[] {
  return texts(...folders).map(({ file, text }) => {
    const imports = known.get(file) ?? importsOf(file, text);
    known.set(file, imports);
    return { file, text, imports };
  });
}

export function parse(file: string, text: string): ts.SourceFile {
  return ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
}

/** By the scanner: to parse all sources would take six times as long. */
export function importsOf(file: string, text: string): readonly string[] {
  const names = ts.preProcessFile(text).importedFiles.map(({ fileName }) => nameOf(file, fileName));
  // What is computed cannot be judged: it is named as what it is, and no rule allows it.
  return [...names, ...Array.from(text.matchAll(/\bimport\(\s*(?!['"`\s])/g), () => '(computed)')];
}

/** What a file loads with itself: no types, and nothing that it imports only when it needs it. */
export function loads(file: string, text: string): readonly string[] {
  const statements = text.match(/^(?:import|export(?= [*{])) (?!type )[^;]*;/gm) ?? [];
  return ts.preProcessFile(statements.join('\n')).importedFiles.map(({ fileName }) => nameOf(file, fileName));
}

function nameOf(file: string, imported: string): string {
  return imported.startsWith('.') ? fileOf(path.posix.join(path.posix.dirname(file), imported)) : imported;
}

/** The source of a compiled name: the page's components are `.tsx`. */
function fileOf(name: string): string {
  const source = name.replace(/\.js$/, '.ts');
  return source.startsWith('src/web/') && existsSync(path.join(ROOT, `${source}x`)) ? `${source}x` : source;
}

/** Where a source reads a clock or rolls dice: `Date.now`, `new Date()` without a time, timers, `Math.random` … */
export function impurities(tree: ts.SourceFile): readonly string[] {
  const found: string[] = [];
  const note = (node: ts.Node): void => {
    const { line } = tree.getLineAndCharacterOfPosition(node.getStart());
    found.push(`${tree.fileName}:${line + 1}: ${node.getText()}`);
  };
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAccessExpression(node)) {
      if (['Date.now', 'Math.random', 'performance.now'].includes(node.getText())) note(node);
      if (GLOBALS.includes(node.expression.getText())) note(node);
    }
    if (ts.isNewExpression(node) && node.expression.getText() === 'Date' && !node.arguments?.length)
      note(node);
    if (ts.isCallExpression(node) && CALLS.includes(node.expression.getText())) note(node);
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}

const GLOBALS = ['process', 'crypto', 'console', 'globalThis'];
const CALLS = ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'fetch', 'Date'];
