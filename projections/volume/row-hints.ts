/** The windows that an account's sends go to besides its own. */
export type RowHint = 'address' | 'domain' | 'ip' | 'day' | 'domainDay';

const PLACES: Readonly<Record<RowHint, number>> = { address: 0, domain: 1, ip: 2, day: 3, domainDay: 4 };
const WIDTH = 5;

/**
 * Where the return path, the domain, the network and the days of an account's last send have their rows, by its own
 * row: most accounts send the next message from the same ones, and a row that is guessed right costs no look-up in a
 * map of its own. Only ever a guess, which who uses it checks; so nothing here is dumped, and nothing is kept up to
 * date when rows are given up.
 */
export class RowHints {
  /** Rows, counted from 1; 0 where none is known. */
  #rows = new Int32Array(256 * WIDTH);

  /** The row to look at first; -1 where none is known. */
  guess(account: number, which: RowHint): number {
    const index = account * WIDTH + PLACES[which];
    return index < this.#rows.length ? this.#rows[index]! - 1 : -1;
  }

  note(account: number, which: RowHint, row: number): void {
    const index = account * WIDTH + PLACES[which];
    if (index >= this.#rows.length) {
      const grown = new Int32Array(Math.ceil(Math.max(index + 1, this.#rows.length * 1.25) / WIDTH) * WIDTH);
      grown.set(this.#rows);
      this.#rows = grown;
    }
    this.#rows[index] = row + 1;
  }
}
