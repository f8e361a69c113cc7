import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { TestContext } from 'node:test';

/** From now on each file gets one byte, and then finds no room on its disk. */
export async function fillDisk(t: TestContext): Promise<void> {
  const handle = await open(tmpdir());
  const prototype = Object.getPrototypeOf(handle) as typeof handle;
  await handle.close();
  t.mock.method(prototype, 'writeFile', async function (this: typeof handle) {
    await this.write('x');
    const fault = new Error('ENOSPC: no space left on device, write');
    throw Object.assign(fault, { code: 'ENOSPC', syscall: 'write' });
  });
}
