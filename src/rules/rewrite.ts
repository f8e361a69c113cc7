import type { Node } from 'yaml';
import { isAlias, isScalar, LineCounter, visit } from 'yaml';
import { parseYaml, YamlRefused } from '../kernel/yaml.js';

/** What becomes of the parts of the text of rules. */
interface Rewriting {
  /** Of the value of a subject, as YAML reads it. */
  readonly subject: (value: string, type: 'account' | 'address') => string;
  /** Of all the rest, as it is written. */
  readonly rest: (text: string) => string;
}

/** The YAML of rules with other names. The value of a subject is told apart: elsewhere the same word may be a key or an action. */
export function rewriteRules(text: string, { subject, rest }: Rewriting): string {
  const document = parsed(text);
  if (document === undefined) return rest(text);
  const places: { readonly start: number; readonly end: number; readonly name: string | undefined }[] = [];
  const resolved = (node: unknown): unknown => {
    const target = isAlias(node) ? node.resolve(document) : node;
    return isScalar(target) ? target.value : undefined;
  };
  visit(document, {
    Map(_, map) {
      const type = resolved(map.get('type', true));
      // An alias is replaced itself: what it repeats may be something else there.
      const node = map.get('value', true) as Node | undefined;
      const value = resolved(node);
      if ((type !== 'account' && type !== 'address') || typeof value !== 'string' || !node?.range) return;
      const name = subject(value, type);
      const [start, end] = node.range;
      places.push({ start, end, name: name === value ? undefined : name });
    },
  });
  const parts: string[] = [];
  let at = 0;
  for (const { start, end, name } of places.sort((a, b) => a.start - b.start)) {
    const old = text.slice(start, end);
    parts.push(rest(text.slice(at, start)), name === undefined ? old : asWritten(name, old));
    at = end;
  }
  return parts.join('') + rest(text.slice(at));
}

/** A name in the form of another one: in quotes, or as a block of lines. */
function asWritten(name: string, old: string): string {
  return `${/^["']/.test(old) ? JSON.stringify(name) : name}${old.endsWith('\n') ? '\n' : ''}`;
}

/** Undefined for what nobody could read as rules either. */
function parsed(text: string): ReturnType<typeof parseYaml> | undefined {
  try {
    return parseYaml(text, { lineCounter: new LineCounter() });
  } catch (thrown) {
    if (thrown instanceof YamlRefused) return undefined;
    throw thrown;
  }
}
