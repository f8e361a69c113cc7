import type { Node } from 'yaml';
import { isAlias, isScalar, LineCounter, visit } from 'yaml';
import { parseYaml, YamlRefused } from '../kernel/yaml.js';

/**
 * The YAML of rules with other names in the place of some subjects. Only the value of a subject is one: the same word may be
 * a key, an action or part of a sentence.
 *
 * @param renamed the other name of an account or address; undefined leaves it
 */
export function withSubjectsRenamed(
  text: string,
  renamed: (type: 'account' | 'address', value: string) => string | undefined,
): string {
  const places: { readonly start: number; readonly end: number; readonly name: string }[] = [];
  const document = parsed(text);
  if (document === undefined) return text;
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
      const name = renamed(type, value);
      const [start, end] = node.range;
      if (name !== undefined) places.push({ start, end, name });
    },
  });
  let [result, at] = ['', 0];
  for (const { start, end, name } of places.sort((a, b) => a.start - b.start)) {
    const old = text.slice(start, end);
    const isQuoted = /^["']/.test(old);
    result += `${text.slice(at, start)}${isQuoted ? JSON.stringify(name) : name}${old.endsWith('\n') ? '\n' : ''}`;
    at = end;
  }
  return result + text.slice(at);
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
