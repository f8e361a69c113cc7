/** Text over several lines of source, as one. */
export function text(strings: TemplateStringsArray, ...values: readonly string[]): string {
  return String.raw({ raw: strings.map((part) => part.replace(/\s*\n\s*/g, ' ')) }, ...values).trim();
}
