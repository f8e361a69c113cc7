/** Ends the command with an exit code of its own; what there was to say has been said. */
export class ExitWith extends Error {
  constructor(readonly code: number) {
    super(`exit code ${code}`);
    this.name = 'ExitWith';
  }
}
