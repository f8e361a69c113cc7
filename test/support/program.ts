import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** The program as it is shipped: each module a file. */
export const COMPILED = fileURLToPath(new URL('../../src/main.js', import.meta.url));

/** The program `stopgap` that tests start: a bundle of it where the run has made one. */
export const PROGRAM = process.env['TEST_PROGRAM'] ?? COMPILED;

/**
 * Makes a bundle of the program in a folder of this repository, and resolves with its path. All tests together start it some two
 * hundred times, and loading a thousand modules takes a quarter of the processor that a start takes. Each module keeps what
 * it knows of its place, so that threads, the page and the fingerprint of the code are those that were compiled.
 */
export async function bundled(folder: string): Promise<string> {
  const { rolldown } = await import('rolldown');
  const bundle = await rolldown({
    input: COMPILED,
    platform: 'node',
    // What is not in JavaScript, and what may be missing.
    external: [/^better-sqlite3$/, /^@kurrent\/bridge$/, /^@opentelemetry\/(?!api$)/],
    logLevel: 'silent',
    plugins: [
      {
        name: 'places',
        transform: (code, file) =>
          code
            .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(file).href))
            .replaceAll('import.meta.dirname', JSON.stringify(path.dirname(file))),
      },
    ],
  });
  await bundle.write({ dir: folder, minify: { mangle: false, compress: false } });
  await bundle.close();
  return path.join(folder, 'main.js');
}
