import { eventually } from '../smtp/eventually.js';

/** Asks again until it holds; fails at the deadline with the error that the last asking ended in, if any. */
export async function awaited(
  what: string,
  holds: () => boolean | Promise<boolean>,
  seconds = 15,
): Promise<void> {
  let failure: unknown;
  const asked = async (): Promise<boolean> => {
    try {
      const isSo = await holds();
      failure = undefined;
      return isSo;
    } catch (error) {
      failure = error;
      return false;
    }
  };
  await eventually(what, asked, seconds * 1000).catch((error: Error) => {
    throw new Error(error.message, { cause: failure });
  });
}
