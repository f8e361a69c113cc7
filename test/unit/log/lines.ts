import ts from 'typescript';
import { parse } from '../architecture/imports.js';
import { texts } from '../architecture/sources.js';

/** One place in the sources that logs. */
export interface LogLine {
  readonly where: string;
  readonly level: string;
  /** Undefined if it is not a plain text: then nobody could look for it. */
  readonly message: string | undefined;
  /** Names of the fields that are written there, and of the functions that make others. */
  readonly fields: readonly string[];
}

const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'];
/** No other file has a call of a logger, and need not be parsed. */
const MAY_LOG = new RegExp(`\\.\\s*(?:${LEVELS.join('|')})\\b`);
const LOGGER = /(^|\.|#)log$|\b(levels|logs|this)\.of\(/;

/** Every call of a logger in the sources. */
export function logLines(): readonly LogLine[] {
  return texts('src', 'projections')
    .filter(({ text }) => MAY_LOG.test(text))
    .flatMap(({ file, text }) => linesOf(file, parse(file, text)));
}

export function linesOf(file: string, tree: ts.SourceFile): readonly LogLine[] {
  const found: LogLine[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
      const { name, expression } = node.expression;
      if (LEVELS.includes(name.text) && LOGGER.test(expression.getText()))
        found.push(lineOf(file, tree, name.text, node));
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}

function lineOf(file: string, tree: ts.SourceFile, level: string, call: ts.CallExpression): LogLine {
  const [first, second] = call.arguments;
  const text = second ?? first;
  const { line } = tree.getLineAndCharacterOfPosition(call.getStart());
  return {
    where: `${file}:${line + 1}`,
    level,
    message: text !== undefined && ts.isStringLiteral(text) ? text.text : undefined,
    fields: second === undefined ? [] : fieldsOf(first!, tree),
  };
}

function fieldsOf(node: ts.Expression, tree: ts.SourceFile): readonly string[] {
  if (ts.isCallExpression(node)) return [`${node.expression.getText()}()`];
  const object = ts.isIdentifier(node) ? initialiserOf(node.text, tree) : node;
  if (object === undefined || !ts.isObjectLiteralExpression(object)) return [`?${node.getText()}`];
  return object.properties.flatMap((property) => {
    if (ts.isSpreadAssignment(property)) {
      const { expression } = property;
      if (ts.isIdentifier(expression)) return fieldsOf(expression, tree);
      // Fields that are not always there: `...(x && { y: x })`.
      return literalsIn(expression).flatMap((literal) => fieldsOf(literal, tree));
    }
    return [property.name.getText()];
  });
}

function literalsIn(node: ts.Node): readonly ts.ObjectLiteralExpression[] {
  if (ts.isObjectLiteralExpression(node)) return [node];
  const found: ts.ObjectLiteralExpression[] = [];
  node.forEachChild((child) => void found.push(...literalsIn(child)));
  return found;
}

/** The initialiser of a constant of this name, anywhere in the file. */
function initialiserOf(name: string, tree: ts.SourceFile): ts.Expression | undefined {
  let found: ts.Expression | undefined;
  const visit = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) && node.name.getText() === name) found ??= node.initializer;
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}
