/** Lets work through in the order of its coming, unless something holds it. */
export class Gate {
  #holds = 0;
  #waiting: (() => void)[] = [];

  /** Whether work would go through at once. */
  get open(): boolean {
    return this.#holds === 0 && this.#waiting.length === 0;
  }

  /** Whatever comes from now on waits, until the result is called. */
  hold(): () => void {
    this.#holds++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holds--;
      this.#flush();
    };
  }

  /** Runs it now, or in its turn. */
  pass(work: () => void): void {
    if (this.open) work();
    else this.#waiting.push(work);
  }

  #flush(): void {
    // Each may hold the gate again.
    while (this.#holds === 0 && this.#waiting.length > 0) this.#waiting.shift()!();
  }
}
