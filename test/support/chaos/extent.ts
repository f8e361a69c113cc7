/*
 * How much is played at random, and from which seed: another one in each run, so that a short run of every day sees
 * what a long one would. The titles say the seed.
 */
const { STOPGAP_CHAOS_SEED, STOPGAP_CHAOS_ROUNDS } = process.env;

export const SEED = Number(STOPGAP_CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 32));
/** At least one of each kind of target. */
export const ROUNDS = Number(STOPGAP_CHAOS_ROUNDS ?? 4);
