/** What a part of Stopgap is called where it acts for somebody. */
const PARTS: Readonly<Record<string, string>> = {
  'rules-file': 'the rules file',
  'overrides-file': 'the overrides file',
  defaults: 'the defaults',
  hook: 'the hook',
  import: 'an import',
};

/** Who did something, as a person reads it: of `admin:alice` alice, of `rule:burst@3` rule burst. */
export function actorName(by: string): string {
  const colon = by.indexOf(':');
  const name = by.slice(colon + 1);
  switch (by.slice(0, Math.max(colon, 0))) {
    case 'admin':
      return name;
    case 'rule':
      return `rule ${name.replace(/@\d{1,16}$/, '')}`;
    case 'system':
      return (Object.hasOwn(PARTS, name) ? PARTS[name] : undefined) ?? 'Stopgap';
    case 'smtp':
    case 'policy':
      return `Stopgap at ${name}`;
    case 'server':
      return `mail server ${name}`;
    default:
      return by;
  }
}
