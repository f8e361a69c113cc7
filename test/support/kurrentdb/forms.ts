/** Commands that start a real KurrentDB: HACKING.md says what is filled in. */
export const ONE = process.env['STOPGAP_TEST_KURRENTDB'] ?? '';
export const THREE = process.env['STOPGAP_TEST_KURRENTDB_NODE'] ?? '';

export type Form = 'stand-in' | 'one node' | 'three nodes';

/** What the environment offers, the smallest first: the stand-in where it names no server. */
export const FORMS: readonly Form[] = [
  ...(ONE === '' ? [] : (['one node'] as const)),
  ...(THREE === '' ? [] : (['three nodes'] as const)),
  ...(ONE === '' && THREE === '' ? (['stand-in'] as const) : []),
];

/** What serves, for people. */
export const SERVING = FORMS[0] === 'stand-in' ? 'stand-in' : `real, ${FORMS.join(' and ')}`;

/** For the `skip` option of a test that tells the stand-in to fail in a way of its own: false if it serves. */
export const skipOnRealServer =
  FORMS[0] === 'stand-in' ? false : 'only the stand-in can be told to fail like this';

/** Whether the nodes of a cluster tell clients the port that they are given for it. */
export const ADVERTISES = THREE.includes('{advertised}');
