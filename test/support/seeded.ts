import fc from 'fast-check';

/**
 * Every run of the tests tries the same cases: what fails, fails for a change and not by chance. STOPGAP_TEST_SEED is another
 * seed, a whole number, to look for more.
 */
const { STOPGAP_TEST_SEED = '20260301' } = process.env;
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(STOPGAP_TEST_SEED) });
