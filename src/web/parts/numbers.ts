/**
 * A limit as the API takes it. Only digits are a number: `5,000` is five thousand to one person and five to another.
 * All else goes to the server as it is, which says at the field what is wrong.
 */
export function limitOf(text: string): number | 'off' {
  const plain = text.trim();
  return /^off$/i.test(plain) ? 'off' : /^\d{1,15}$/.test(plain) ? Number(plain) : (plain as 'off');
}

/** How many times the limits, with a decimal point or comma. What is no number, or may be a thousand, goes to the server as it is. */
export function factorOf(text: string): number {
  const plain = text.trim();
  const number = Number(plain.replace(',', '.'));
  return Number.isFinite(number) && !/[.,]\d{3}$/.test(plain) ? number : (plain as unknown as number);
}
