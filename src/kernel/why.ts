/** What the evidence of a block says, as far as its row in a list needs it. */
interface Evidence {
  readonly sentence: string;
  readonly rule: string;
}

/** The evidence's sentence without its subject and rule. What was allowed comes right after what was counted. */
export function numbersOf(
  subject: { readonly value: string },
  { sentence, rule }: Evidence,
  since: readonly string[] = [],
): string {
  // It begins with `Account alice@example.com: `.
  const name = `${subject.value}: `;
  const from = sentence.indexOf(name);
  const parts = (from < 0 ? sentence : sentence.slice(from + name.length))
    .replace(/\.$/, '')
    .replace('in a week usually', 'usually')
    .split('; ');
  const allowance = `rule "${rule}" allows `;
  const at = parts.findIndex((part) => part.startsWith(allowance));
  if (at > 0) {
    const [said] = parts.splice(at, 1);
    // A later part says that the sender is still being learnt.
    const allows = said!.slice(allowance.length).replace(/^such a sender /, '');
    parts.splice(1, 0, `allows ${allows}`);
  }
  parts.splice(at > 0 ? 2 : 1, 0, ...since);
  return parts.join('; ');
}
