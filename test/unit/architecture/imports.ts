import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../..');

export interface Source {
  /** From the root of the repository, with `/`: `src/blocks/decide.ts`. */
  readonly file: string;
  readonly tree: ts.SourceFile;
  /** What it imports, in any form: a path like `file`, or a package's name. Types count too. */
  readonly imports: readonly string[];
}

/** Every TypeScript file under these folders, the page's components too. */
export function sources(...folders: readonly string[]): readonly Source[] {
  return folders.flatMap((folder) =>
    readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.tsx?$/.test(file))
      .map((file) => read(path.posix.join(folder, file.replaceAll(path.sep, '/')))),
  );
}

function read(file: string): Source {
  const tree = parse(file, readFileSync(path.join(ROOT, file), 'utf8'));
  return { file, tree, imports: importsOf(file, tree) };
}

export function parse(file: string, text: string): ts.SourceFile {
  return ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
}

export function importsOf(file: string, tree: ts.SourceFile): readonly string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (
      (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) &&
      node.moduleSpecifier !== undefined
    ) {
      found.push(textOf(node.moduleSpecifier));
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      found.push(textOf(node.arguments[0]));
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      found.push(textOf(node.argument.literal));
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found.map((name) =>
    name.startsWith('.') ? fileOf(path.posix.join(path.posix.dirname(file), name)) : name,
  );
}

/** The source of a compiled name: the page's components are `.tsx`. */
function fileOf(name: string): string {
  const source = name.replace(/\.js$/, '.ts');
  return source.startsWith('src/web/') && existsSync(path.join(ROOT, `${source}x`)) ? `${source}x` : source;
}

function textOf(node: ts.Node | undefined): string {
  // What is computed cannot be judged: it is named as what it is, and no rule allows it.
  return node !== undefined && ts.isStringLiteralLike(node) ? node.text : '(computed)';
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
